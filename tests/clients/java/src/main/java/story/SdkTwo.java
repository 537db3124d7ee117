package story;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.SdkGlobalTime;
import software.amazon.awssdk.services.kinesisvideo.KinesisVideoClient;
import software.amazon.awssdk.services.kinesisvideo.model.APIName;
import software.amazon.awssdk.services.kinesisvideomedia.KinesisVideoMediaClient;
import software.amazon.awssdk.services.kinesisvideomedia.model.GetMediaResponse;
import software.amazon.awssdk.services.kinesisvideomedia.model.StartSelectorType;
import software.amazon.awssdk.services.rekognition.RekognitionClient;
import software.amazon.awssdk.services.rekognition.model.DescribeStreamProcessorResponse;
import software.amazon.awssdk.services.rekognition.model.FaceMatch;
import software.amazon.awssdk.services.rekognition.model.FaceRecord;
import software.amazon.awssdk.services.rekognition.model.Image;
import software.amazon.awssdk.services.rekognition.model.RekognitionException;
import software.amazon.awssdk.services.rekognition.model.ResourceAlreadyExistsException;
import software.amazon.awssdk.services.rekognition.model.ResourceInUseException;
import software.amazon.awssdk.services.rekognition.model.ResourceNotFoundException;
import software.amazon.awssdk.services.rekognition.model.StreamProcessorStatus;

/** AWS SDK for Java 2, configured by the environment alone. */
final class SdkTwo implements AutoCloseable {
  private static final String ROLE = "arn:aws:iam::000000000000:role/streamd";

  private final String name;
  private final Image photo;
  private final RekognitionClient rekognition = RekognitionClient.create();
  private final KinesisVideoClient video = KinesisVideoClient.create();
  private String faceId;

  SdkTwo(String name, Path photo) throws IOException {
    this.name = name;
    this.photo = Image.builder().bytes(SdkBytes.fromByteArray(Files.readAllBytes(photo))).build();
  }

  void makeCollection() throws Exception {
    int status = rekognition.createCollection(r -> r.collectionId(name)).statusCode();
    ResourceAlreadyExistsException twice =
        Steps.failure(
            ResourceAlreadyExistsException.class,
            () -> rekognition.createCollection(r -> r.collectionId(name)));
    FaceRecord face =
        rekognition
            .indexFaces(r -> r.collectionId(name).externalImageId("astronaut").image(photo))
            .faceRecords()
            .get(0);
    faceId = face.face().faceId();
    FaceMatch match =
        rekognition.searchFacesByImage(r -> r.collectionId(name).image(photo)).faceMatches().get(0);
    long listed =
        rekognition.listFacesPaginator(r -> r.collectionId(name).maxResults(1)).stream()
            .mapToLong(page -> page.faces().size())
            .sum();
    Steps.print(
        "collection",
        Map.of(
            "status", status,
            "matched", match.face().externalImageId(),
            "similarity", match.similarity(),
            "listed", listed,
            "createdMs",
                rekognition
                    .describeCollection(r -> r.collectionId(name))
                    .creationTimestamp()
                    .toEpochMilli(),
            "alreadyExists", shown(twice)));
  }

  /** Makes a stream and a processor, starts it and returns the stream's ARN once it runs. */
  String startProcessor() throws Exception {
    String stream = makeStream(name);
    rekognition.createStreamProcessor(
        r ->
            r.name(name)
                .input(i -> i.kinesisVideoStream(k -> k.arn(stream)))
                .output(
                    o ->
                        o.kinesisDataStream(
                            k -> k.arn("arn:aws:kinesis:us-east-1:000000000000:stream/" + name)))
                .settings(s -> s.faceSearch(f -> f.collectionId(name).faceMatchThreshold(85.5f)))
                .roleArn(ROLE)
                .tags(Map.of("site", "höher")));
    rekognition.startStreamProcessor(r -> r.name(name));
    DescribeStreamProcessorResponse described = waitFor(StreamProcessorStatus.RUNNING);
    ResourceInUseException busy =
        Steps.failure(
            ResourceInUseException.class,
            () -> rekognition.startStreamProcessor(r -> r.name(name)));
    Steps.print(
        "running",
        Map.of(
            "threshold", described.settings().faceSearch().faceMatchThreshold(),
            "tags",
                rekognition
                    .listTagsForResource(r -> r.resourceArn(described.streamProcessorArn()))
                    .tags(),
            "busy", shown(busy)));
    return stream;
  }

  String makeStream(String streamName) {
    return video
        .createStream(r -> r.streamName(streamName).dataRetentionInHours(1))
        .streamARN();
  }

  /** GetMedia on the data endpoint, from the earliest fragment. */
  ResponseInputStream<GetMediaResponse> getMedia(String streamName) {
    String endpoint =
        video
            .getDataEndpoint(r -> r.streamName(streamName).apiName(APIName.GET_MEDIA))
            .dataEndpoint();
    KinesisVideoMediaClient media =
        KinesisVideoMediaClient.builder().endpointOverride(URI.create(endpoint)).build();
    return media.getMedia(
        r ->
            r.streamName(streamName)
                .startSelector(s -> s.startSelectorType(StartSelectorType.EARLIEST)));
  }

  void end(String stream) throws Exception {
    rekognition.stopStreamProcessor(r -> r.name(name));
    waitFor(StreamProcessorStatus.STOPPED);
    rekognition.deleteStreamProcessor(r -> r.name(name));
    ResourceNotFoundException gone =
        Steps.failure(
            ResourceNotFoundException.class,
            () -> rekognition.describeStreamProcessor(r -> r.name(name)));
    List<String> deleted =
        rekognition.deleteFaces(r -> r.collectionId(name).faceIds(faceId)).deletedFaces();
    rekognition.deleteCollection(r -> r.collectionId(name));
    video.deleteStream(r -> r.streamARN(stream));
    var noStream =
        Steps.failure(
            software.amazon.awssdk.services.kinesisvideo.model.ResourceNotFoundException.class,
            () -> video.describeStream(r -> r.streamName(name)));
    Steps.print(
        "deleted",
        Map.of(
            "faces", deleted.size(),
            "gone", shown(gone),
            "noStreamStatus", noStream.statusCode(),
            "noStreamCode", noStream.awsErrorDetails().errorCode()));
  }

  void signatures() throws Exception {
    AwsBasicCredentials wrong =
        AwsBasicCredentials.create(System.getenv("AWS_ACCESS_KEY_ID"), "wrong");
    try (RekognitionClient stranger =
        RekognitionClient.builder()
            .credentialsProvider(StaticCredentialsProvider.create(wrong))
            .build()) {
      RekognitionException refused =
          Steps.failure(RekognitionException.class, () -> stranger.listCollections());
      Steps.print("signatures", Map.of("refused", shown(refused)));
    }
  }

  /** A client made while the SDK's clock is ten minutes off learns it from our Date header. */
  void wrongClock() throws Exception {
    SdkGlobalTime.setGlobalTimeOffset(600);
    try (RekognitionClient late = RekognitionClient.create()) {
      int left = late.listCollections().collectionIds().size();
      Steps.print(
          "clock", Map.of("collections", left, "offset", SdkGlobalTime.getGlobalTimeOffset()));
    } finally {
      SdkGlobalTime.setGlobalTimeOffset(0);
    }
  }

  @Override
  public void close() {
    rekognition.close();
    video.close();
  }

  private DescribeStreamProcessorResponse waitFor(StreamProcessorStatus status) throws Exception {
    return Steps.until(
        status.toString(),
        () -> {
          var answer = rekognition.describeStreamProcessor(r -> r.name(name));
          if (answer.status() == StreamProcessorStatus.FAILED) {
            throw new AssertionError(answer.statusMessage());
          }
          return answer.status() == status ? answer : null;
        });
  }

  private static Map<String, Object> shown(RekognitionException error) {
    return Map.of(
        "code", error.awsErrorDetails().errorCode(),
        "message", error.awsErrorDetails().errorMessage(),
        "status", error.statusCode(),
        "requestId", error.requestId());
  }
}
