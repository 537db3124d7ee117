package story;

import com.amazonaws.auth.DefaultAWSCredentialsProviderChain;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.kinesisvideo.parser.ebml.InputStreamParserByteSource;
import com.amazonaws.kinesisvideo.parser.examples.GetMediaWorker;
import com.amazonaws.kinesisvideo.parser.kinesis.KinesisRecordProcessor;
import com.amazonaws.kinesisvideo.parser.mkv.Frame;
import com.amazonaws.kinesisvideo.parser.mkv.StreamingMkvReader;
import com.amazonaws.kinesisvideo.parser.rekognition.pojo.RekognizedFragmentsIndex;
import com.amazonaws.kinesisvideo.parser.rekognition.pojo.RekognizedFragmentsIndex.RekognizedFragment;
import com.amazonaws.kinesisvideo.parser.rekognition.pojo.RekognizedOutput;
import com.amazonaws.kinesisvideo.parser.utilities.FragmentMetadata;
import com.amazonaws.kinesisvideo.parser.utilities.FragmentMetadataVisitor.MkvTagProcessor;
import com.amazonaws.kinesisvideo.parser.utilities.FrameVisitor;
import com.amazonaws.kinesisvideo.parser.utilities.MkvTag;
import com.amazonaws.kinesisvideo.parser.utilities.MkvTrackMetadata;
import com.amazonaws.regions.Regions;
import com.amazonaws.services.kinesis.clientlibrary.interfaces.IRecordProcessorCheckpointer;
import com.amazonaws.services.kinesis.model.Record;
import com.amazonaws.services.kinesisvideo.AmazonKinesisVideo;
import com.amazonaws.services.kinesisvideo.AmazonKinesisVideoClientBuilder;
import com.amazonaws.services.kinesisvideo.model.StartSelector;
import com.amazonaws.services.kinesisvideo.model.StartSelectorType;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Proxy;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The Kinesis Video Streams parser library on what the daemon sends. */
final class Parsing {
  private static final int EXPECTED_RECORDS = 10;

  private final URI endpoint;
  private final DefaultAWSCredentialsProviderChain keys = new DefaultAWSCredentialsProviderChain();

  Parsing(URI endpoint) {
    this.endpoint = endpoint;
  }

  /** Reads face-search records as the library's Kinesis consumer does. */
  void records(Path file) throws Exception {
    List<String> lines =
        Steps.until(
            "records",
            () -> {
              List<String> found = Files.exists(file) ? Files.readAllLines(file) : List.of();
              return found.size() >= EXPECTED_RECORDS ? found : null;
            });
    List<Record> records = new ArrayList<>();
    for (String line : lines) {
      records.add(new Record().withData(ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8))));
    }
    RekognizedFragmentsIndex index = new RekognizedFragmentsIndex();
    KinesisRecordProcessor processor = new KinesisRecordProcessor(index, keys);
    processor.initialize("shardId-000000000000");
    processor.processRecords(records, checkpointer());
    List<Map<String, Object>> fragments = new ArrayList<>();
    while (!index.isEmpty()) {
      fragments.add(shown(index.poll()));
    }
    Steps.print("records", Map.of("fragments", fragments));
  }

  /** Reads a GetMedia answer to its end, leaves a copy of it in a file. */
  void answer(String step, InputStream answer, Path copy) throws Exception {
    Fragments fragments = new Fragments();
    try (InputStream tee = new Tee(answer, Files.newOutputStream(copy))) {
      FrameVisitor visitor = FrameVisitor.create(fragments, Optional.of(fragments));
      StreamingMkvReader.createDefault(new InputStreamParserByteSource(tee)).apply(visitor);
    }
    Steps.print(step, Map.of("fragments", fragments.shown()));
  }

  /** The library's own worker: SDK 1 asks for the data endpoint and reads GetMedia to its end. */
  void worker(String stream) throws Exception {
    AmazonKinesisVideo video =
        AmazonKinesisVideoClientBuilder.standard()
            .withCredentials(keys)
            .withEndpointConfiguration(
                new EndpointConfiguration(endpoint.toString(), System.getenv("AWS_REGION")))
            .build();
    Fragments fragments = new Fragments();
    GetMediaWorker.create(
            Regions.fromName(System.getenv("AWS_REGION")),
            keys,
            stream,
            new StartSelector().withStartSelectorType(StartSelectorType.EARLIEST),
            video,
            FrameVisitor.create(fragments, Optional.of(fragments)))
        .run();
    Steps.print("worker", Map.of("fragments", fragments.shown()));
  }

  private static Map<String, Object> shown(RekognizedFragment fragment) {
    List<Map<String, Object>> outputs = new ArrayList<>();
    for (RekognizedOutput output : fragment.getRekognizedOutputs()) {
      Map<String, Object> shown = new LinkedHashMap<>();
      shown.put("offset", output.getFrameOffsetInSeconds());
      List<String> names = new ArrayList<>();
      output
          .getFaceSearchOutputs()
          .forEach(
              face ->
                  face.getMatchedFaceList()
                      .forEach(match -> names.add(match.getFace().getExternalImageId())));
      shown.put("names", names);
      outputs.add(shown);
    }
    Map<String, Object> shown = new LinkedHashMap<>();
    shown.put("number", fragment.getFragmentNumber());
    shown.put("producerSeconds", fragment.getProducerTime());
    shown.put("outputs", outputs);
    return shown;
  }

  private static IRecordProcessorCheckpointer checkpointer() {
    Class<?> type = IRecordProcessorCheckpointer.class;
    return (IRecordProcessorCheckpointer)
        Proxy.newProxyInstance(
            type.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> null);
  }

  /** What the library says of each fragment, and how many frames it found in it. */
  private static final class Fragments implements FrameVisitor.FrameProcessor, MkvTagProcessor {
    private final Map<String, Seen> byNumber = new LinkedHashMap<>();

    private static final class Seen {
      private FragmentMetadata metadata;
      private MkvTrackMetadata track;
      private final Map<String, String> tags = new LinkedHashMap<>();
      private int frames;
      private int keyFrames;
      private long bytes;
    }

    @Override
    public void process(
        Frame frame,
        MkvTrackMetadata track,
        Optional<FragmentMetadata> metadata,
        Optional<MkvTagProcessor> tags) {
      Seen seen = seen(metadata.orElseThrow());
      seen.track = track;
      seen.frames++;
      seen.keyFrames += frame.isKeyFrame() ? 1 : 0;
      seen.bytes += frame.getFrameData().remaining();
    }

    @Override
    public void process(MkvTag tag, Optional<FragmentMetadata> metadata) {
      metadata.ifPresent(each -> seen(each).tags.put(tag.getTagName(), tag.getTagValue()));
    }

    @Override
    public void clear() {}

    @Override
    public void close() {}

    private Seen seen(FragmentMetadata metadata) {
      Seen seen = byNumber.computeIfAbsent(metadata.getFragmentNumberString(), key -> new Seen());
      seen.metadata = metadata;
      return seen;
    }

    List<Map<String, Object>> shown() {
      List<Map<String, Object>> all = new ArrayList<>();
      for (Seen seen : byNumber.values()) {
        Map<String, Object> shown = new LinkedHashMap<>();
        shown.put("number", seen.metadata.getFragmentNumberString());
        shown.put("serverMs", seen.metadata.getServerSideTimestampMillis());
        shown.put("producerMs", seen.metadata.getProducerSideTimestampMillis());
        shown.put("success", seen.metadata.isSuccess());
        shown.put("complete", seen.metadata.isCompleteFragment());
        shown.put("frames", seen.frames);
        shown.put("keyFrames", seen.keyFrames);
        shown.put("bytes", seen.bytes);
        shown.put("codec", seen.track.getCodecId());
        shown.put("width", seen.track.getPixelWidth().orElseThrow());
        shown.put("height", seen.track.getPixelHeight().orElseThrow());
        shown.put("codecPrivateBytes", seen.track.getCodecPrivateData().remaining());
        shown.put("tags", seen.tags);
        all.add(shown);
      }
      return all;
    }
  }

  private static final class Tee extends FilterInputStream {
    private final OutputStream copy;

    Tee(InputStream in, OutputStream copy) {
      super(in);
      this.copy = copy;
    }

    @Override
    public int read() throws IOException {
      int value = super.read();
      if (value >= 0) {
        copy.write(value);
      }
      return value;
    }

    @Override
    public int read(byte[] into, int offset, int length) throws IOException {
      int count = super.read(into, offset, length);
      if (count > 0) {
        copy.write(into, offset, count);
      }
      return count;
    }

    @Override
    public void close() throws IOException {
      super.close();
      copy.close();
    }
  }
}
