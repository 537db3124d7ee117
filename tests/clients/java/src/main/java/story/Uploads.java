package story;

import com.amazonaws.auth.DefaultAWSCredentialsProviderChain;
import com.amazonaws.kinesisvideo.client.PutMediaClient;
import com.amazonaws.kinesisvideo.client.signing.AWSKinesisVideoV4Signer;
import com.amazonaws.kinesisvideo.config.ClientConfiguration;
import com.amazonaws.services.kinesisvideo.AmazonKinesisVideoPutMedia;
import com.amazonaws.services.kinesisvideo.AmazonKinesisVideoPutMediaClientBuilder;
import com.amazonaws.services.kinesisvideo.PutMediaAckResponseHandler;
import com.amazonaws.services.kinesisvideo.model.AckEvent;
import com.amazonaws.services.kinesisvideo.model.FragmentTimecodeType;
import com.amazonaws.services.kinesisvideo.model.PutMediaRequest;
import com.amazonaws.services.kinesisvideo.model.ResourceNotFoundException;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** PutMedia by AWS's own producers: SDK 1 and the producer library sign it differently. */
final class Uploads {
  private static final long SECONDS = 60;

  private final URI endpoint;
  private final DefaultAWSCredentialsProviderChain keys = new DefaultAWSCredentialsProviderChain();

  Uploads(URI endpoint) {
    this.endpoint = endpoint;
  }

  /** SDK 1 signs STREAMING-AWS4-HMAC-SHA256-PAYLOAD and parses the acknowledgements. */
  void bySdkOne(String stream, Path file) throws Exception {
    try (InputStream body = Files.newInputStream(file)) {
      List<Map<String, Object>> acks = put(stream, body).get(SECONDS, TimeUnit.SECONDS);
      Steps.print("sdkOne", Map.of("acks", acks));
    }
  }

  /** A stream that does not exist: the error has its class on this path, too. */
  void toNowhere() throws Exception {
    CompletableFuture<?> put = put("no-such-stream", new ByteArrayInputStream(new byte[0]));
    Throwable error = put.handle((acks, caught) -> caught).get(SECONDS, TimeUnit.SECONDS);
    String code =
        error instanceof ResourceNotFoundException
            ? ((ResourceNotFoundException) error).getErrorCode()
            : String.valueOf(error);
    Steps.print("nowhere", Map.of("code", code));
  }

  /** The producer library signs UNSIGNED-PAYLOAD, and the host without its port. */
  void byProducerLibrary(String stream, Path file, int fragments) throws Exception {
    ClientConfiguration configuration =
        ClientConfiguration.builder()
            .region(System.getenv("AWS_REGION"))
            .serviceName("kinesisvideo")
            .build();
    CompletableFuture<String> acks = new CompletableFuture<>();
    try (InputStream body = Files.newInputStream(file)) {
      PutMediaClient client =
          PutMediaClient.builder()
              .putMediaDestinationUri(endpoint.resolve("/putMedia"))
              .streamName(stream)
              .fragmentTimecodeType("RELATIVE")
              .timestamp(System.currentTimeMillis())
              .signWith(new AWSKinesisVideoV4Signer(keys, configuration, true))
              .mkvStream(body)
              .receiveAcks(answer -> acks.complete(readUntilPersisted(answer, fragments)))
              .receiveCompletion(
                  error -> {
                    if (error != null) {
                      acks.completeExceptionally(error);
                    }
                  })
              .build();
      client.putMediaInBackground();
      String lines = acks.get(SECONDS, TimeUnit.SECONDS);
      client.close();
      Steps.print("producerLibrary", Map.of("answer", lines));
    }
  }

  private CompletableFuture<List<Map<String, Object>>> put(String stream, InputStream body) {
    AmazonKinesisVideoPutMedia client =
        AmazonKinesisVideoPutMediaClientBuilder.standard()
            .withEndpoint(endpoint)
            .withRegion(System.getenv("AWS_REGION"))
            .withCredentials(keys)
            .withNumberOfThreads(1)
            .build();
    List<Map<String, Object>> acks = Collections.synchronizedList(new ArrayList<>());
    CompletableFuture<List<Map<String, Object>>> done = new CompletableFuture<>();
    client.putMedia(
        new PutMediaRequest()
            .withStreamName(stream)
            .withFragmentTimecodeType(FragmentTimecodeType.ABSOLUTE)
            .withPayload(body)
            .withProducerStartTimestamp(new Date()),
        new PutMediaAckResponseHandler() {
          @Override
          public void onAckEvent(AckEvent event) {
            acks.add(shown(event));
          }

          @Override
          public void onFailure(Throwable error) {
            done.completeExceptionally(error);
          }

          @Override
          public void onComplete() {
            done.complete(acks);
          }
        });
    return done;
  }

  private static Map<String, Object> shown(AckEvent event) {
    Map<String, Object> shown = new LinkedHashMap<>();
    shown.put("type", String.valueOf(event.getAckEventType().getEnumValue()));
    shown.put("number", event.getFragmentNumber());
    shown.put("timecode", event.getFragmentTimecode());
    shown.put("error", String.valueOf(event.getErrorCode()));
    return shown;
  }

  /** The library hands over what comes from the socket, and the connection stays open. */
  private static String readUntilPersisted(InputStream answer, int fragments) {
    StringBuilder text = new StringBuilder();
    byte[] piece = new byte[4096];
    try {
      while (text.toString().split("PERSISTED", -1).length <= fragments) {
        int count = answer.read(piece);
        if (count < 0) {
          break;
        }
        text.append(new String(piece, 0, count, StandardCharsets.UTF_8));
      }
    } catch (java.io.IOException error) {
      throw new java.io.UncheckedIOException(error);
    }
    return text.toString();
  }
}
