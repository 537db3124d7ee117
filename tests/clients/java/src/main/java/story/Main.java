package story;

import java.net.URI;
import java.nio.file.Path;

/**
 * The whole story with AWS's Java clients, in one run of the JVM.
 *
 * <p>Keys, region and endpoint come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and
 * AWS_ENDPOINT_URL. PHOTO is a JPEG with one face. ABSOLUTE and RELATIVE are Matroska files whose
 * clusters count from 1970 and from their start, RELATIVE_FRAGMENTS of them in the second. RECORDS
 * is the file of the local Kinesis output, MEDIA_DIR where media read from the daemon are left.
 */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) throws Exception {
    Steps.begin();
    URI endpoint = URI.create(System.getenv("AWS_ENDPOINT_URL"));
    Path media = Path.of(System.getenv("MEDIA_DIR"));
    try (SdkTwo sdkTwo = new SdkTwo("java", Path.of(System.getenv("PHOTO")))) {
      sdkTwo.makeCollection();
      String stream = sdkTwo.startProcessor();

      Uploads uploads = new Uploads(endpoint);
      uploads.bySdkOne("java", Path.of(System.getenv("ABSOLUTE")));
      uploads.toNowhere();
      sdkTwo.makeStream("java-producer");
      uploads.byProducerLibrary(
          "java-producer",
          Path.of(System.getenv("RELATIVE")),
          Integer.parseInt(System.getenv("RELATIVE_FRAGMENTS")));

      Parsing parsing = new Parsing(endpoint);
      parsing.records(Path.of(System.getenv("RECORDS")));
      parsing.answer("parsed", sdkTwo.getMedia("java"), media.resolve("java.mkv"));
      parsing.answer(
          "parsedProducer", sdkTwo.getMedia("java-producer"), media.resolve("java-producer.mkv"));
      parsing.worker("java");

      sdkTwo.end(stream);
      sdkTwo.signatures();
      sdkTwo.wrongClock();
    }
    // Clients' idle threads must not keep the test waiting.
    System.exit(0);
  }
}
