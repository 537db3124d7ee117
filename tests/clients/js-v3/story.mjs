// AWS SDK for JavaScript v3: the whole story against a daemon, a JSON line for every step.
//
// The code is what one writes for AWS: endpoint, region and keys come from AWS_ENDPOINT_URL,
// AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
// PHOTO is a JPEG with one face, RECORDS the file of the local Kinesis output, MEDIA_DIR where
// media read from the daemon are left for the test to open.

import * as kv from "@aws-sdk/client-kinesis-video";
import * as archived from "@aws-sdk/client-kinesis-video-archived-media";
import * as media from "@aws-sdk/client-kinesis-video-media";
import * as rek from "@aws-sdk/client-rekognition";
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const { PHOTO, RECORDS, MEDIA_DIR, AWS_ENDPOINT_URL } = process.env;
const EXPECTED_RECORDS = 10;
const EXPECTED_FRAGMENTS = 2;
const name = "js-v3";
const role = "arn:aws:iam::000000000000:role/streamd";
const photo = readFileSync(PHOTO);

const rekognition = new rek.RekognitionClient({ maxAttempts: 1 });
const video = new kv.KinesisVideoClient({ maxAttempts: 1 });

function step(what, fields = {}) {
  process.stdout.write(JSON.stringify({ step: what, ...fields }) + "\n");
}

// The error a call ends with, as a program that handles errors sees it.
async function failure(call) {
  try {
    await call;
  } catch (error) {
    return error;
  }
  assert.fail("the call was expected to fail");
}

function shown(error) {
  return {
    name: error.name,
    fault: error.$fault,
    status: error.$metadata?.httpStatusCode,
    requestId: error.$metadata?.requestId,
    message: error.message,
  };
}

async function until(what, condition) {
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(100)) {
    const value = await condition();
    if (value) return value;
  }
  assert.fail(`waited in vain for ${what}`);
}

function processorIs(status) {
  return until(status, async () => {
    const answer = await rekognition.send(new rek.DescribeStreamProcessorCommand({ Name: name }));
    assert.notEqual(answer.Status, rek.StreamProcessorStatus.FAILED, answer.StatusMessage);
    return answer.Status === status && answer;
  });
}

async function endpoint(api) {
  const command = new kv.GetDataEndpointCommand({ StreamName: name, APIName: api });
  return (await video.send(command)).DataEndpoint;
}

async function collection() {
  const created = await rekognition.send(new rek.CreateCollectionCommand({ CollectionId: name }));
  const twice = await failure(
    rekognition.send(new rek.CreateCollectionCommand({ CollectionId: name })),
  );
  assert.ok(twice instanceof rek.ResourceAlreadyExistsException);
  const indexed = await rekognition.send(
    new rek.IndexFacesCommand({
      CollectionId: name,
      ExternalImageId: "astronaut",
      Image: { Bytes: photo },
      DetectionAttributes: ["ALL"],
    }),
  );
  const searched = await rekognition.send(
    new rek.SearchFacesByImageCommand({ CollectionId: name, Image: { Bytes: photo } }),
  );
  const described = await rekognition.send(
    new rek.DescribeCollectionCommand({ CollectionId: name }),
  );
  assert.ok(described.CreationTimestamp instanceof Date);
  const faceIds = [];
  for await (const page of rek.paginateListFaces(
    { client: rekognition, pageSize: 1 },
    { CollectionId: name },
  )) {
    faceIds.push(...page.Faces.map((face) => face.FaceId));
  }
  const face = indexed.FaceRecords[0];
  assert.deepEqual(faceIds, [face.Face.FaceId]);
  step("collection", {
    status: created.StatusCode,
    model: created.FaceModelVersion,
    faceCount: described.FaceCount,
    createdMs: described.CreationTimestamp.getTime(),
    pose: face.FaceDetail.Pose,
    landmarks: face.FaceDetail.Landmarks.length,
    similarity: searched.FaceMatches[0].Similarity,
    matched: searched.FaceMatches[0].Face.ExternalImageId,
    alreadyExists: shown(twice),
  });
  return face.Face.FaceId;
}

async function users(faceId) {
  const user = { CollectionId: name, UserId: "mae" };
  await rekognition.send(new rek.CreateUserCommand(user));
  const conflict = await failure(rekognition.send(new rek.CreateUserCommand(user)));
  assert.ok(conflict instanceof rek.ConflictException);
  const associated = await rekognition.send(
    new rek.AssociateFacesCommand({ ...user, FaceIds: [faceId] }),
  );
  const found = await rekognition.send(
    new rek.SearchUsersByImageCommand({ CollectionId: name, Image: { Bytes: photo } }),
  );
  const compared = await rekognition.send(
    new rek.CompareFacesCommand({ SourceImage: { Bytes: photo }, TargetImage: { Bytes: photo } }),
  );
  const detected = await rekognition.send(new rek.DetectFacesCommand({ Image: { Bytes: photo } }));
  await rekognition.send(new rek.DisassociateFacesCommand({ ...user, FaceIds: [faceId] }));
  await rekognition.send(new rek.DeleteUserCommand(user));
  step("users", {
    associated: associated.AssociatedFaces.map((face) => face.FaceId === faceId),
    userStatus: found.UserMatches[0].User.UserStatus,
    userId: found.UserMatches[0].User.UserId,
    compared: compared.FaceMatches.map((match) => match.Similarity > 99),
    detected: detected.FaceDetails.length,
    conflict: shown(conflict),
  });
}

async function processor() {
  const { StreamARN } = await video.send(
    new kv.CreateStreamCommand({ StreamName: name, DataRetentionInHours: 1 }),
  );
  const inUse = await failure(video.send(new kv.CreateStreamCommand({ StreamName: name })));
  assert.ok(inUse instanceof kv.ResourceInUseException);
  await rekognition.send(
    new rek.CreateStreamProcessorCommand({
      Name: name,
      Input: { KinesisVideoStream: { Arn: StreamARN } },
      Output: {
        KinesisDataStream: { Arn: `arn:aws:kinesis:us-east-1:000000000000:stream/${name}` },
      },
      Settings: { FaceSearch: { CollectionId: name, FaceMatchThreshold: 85.5 } },
      RoleArn: role,
      Tags: { site: "höher" },
    }),
  );
  await rekognition.send(new rek.StartStreamProcessorCommand({ Name: name }));
  const described = await processorIs("RUNNING");
  assert.ok(described.LastUpdateTimestamp instanceof Date);
  const busy = await failure(
    rekognition.send(new rek.StartStreamProcessorCommand({ Name: name })),
  );
  assert.ok(busy instanceof rek.ResourceInUseException);
  const tags = await rekognition.send(
    new rek.ListTagsForResourceCommand({ ResourceArn: described.StreamProcessorArn }),
  );
  step("running", {
    settings: described.Settings,
    tags: tags.Tags,
    busy: shown(busy),
    streamInUse: shown(inUse),
  });
  return StreamARN;
}

function recordCount() {
  return existsSync(RECORDS) ? readFileSync(RECORDS, "utf8").split("\n").length - 1 : 0;
}

// Reads a live answer until it has brought so many whole fragments, and lets go of it.
async function readMedia(file) {
  const client = new media.KinesisVideoMediaClient({ endpoint: await endpoint("GET_MEDIA") });
  const answer = await client.send(
    new media.GetMediaCommand({
      StreamName: name,
      StartSelector: { StartSelectorType: "EARLIEST" },
    }),
  );
  const chunks = [];
  let fragments = 0;
  for await (const chunk of answer.Payload) {
    chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("latin1");
    fragments = text.split("AWS_KINESISVIDEO_CONTINUATION_TOKEN").length - 1;
    if (fragments >= EXPECTED_FRAGMENTS) break;
  }
  writeFileSync(join(MEDIA_DIR, file), Buffer.concat(chunks));
  client.destroy();
  return { contentType: answer.ContentType, fragments };
}

async function readArchive(file) {
  const client = new archived.KinesisVideoArchivedMediaClient({
    endpoint: await endpoint("LIST_FRAGMENTS"),
  });
  const fragments = [];
  for await (const page of archived.paginateListFragments(
    { client, pageSize: 1 },
    {
      StreamName: name,
      FragmentSelector: {
        FragmentSelectorType: "PRODUCER_TIMESTAMP",
        TimestampRange: { StartTimestamp: new Date(0), EndTimestamp: new Date(4e12) },
      },
    },
  )) {
    fragments.push(...page.Fragments);
  }
  assert.ok(fragments.every((each) => each.ProducerTimestamp instanceof Date));
  const answer = await client.send(
    new archived.GetMediaForFragmentListCommand({
      StreamName: name,
      Fragments: fragments.map((each) => each.FragmentNumber).sort(),
    }),
  );
  writeFileSync(join(MEDIA_DIR, file), await answer.Payload.transformToByteArray());
  return fragments.map((each) => each.FragmentNumber).sort();
}

async function end(streamArn, faceId) {
  await rekognition.send(new rek.StopStreamProcessorCommand({ Name: name }));
  await processorIs("STOPPED");
  await rekognition.send(new rek.DeleteStreamProcessorCommand({ Name: name }));
  const gone = await failure(
    rekognition.send(new rek.DescribeStreamProcessorCommand({ Name: name })),
  );
  assert.ok(gone instanceof rek.ResourceNotFoundException);
  const deleted = await rekognition.send(
    new rek.DeleteFacesCommand({ CollectionId: name, FaceIds: [faceId] }),
  );
  assert.deepEqual(deleted.DeletedFaces, [faceId]);
  await rekognition.send(new rek.DeleteCollectionCommand({ CollectionId: name }));
  await video.send(new kv.DeleteStreamCommand({ StreamARN: streamArn }));
  const noStream = await failure(
    video.send(new kv.DescribeStreamCommand({ StreamName: name })),
  );
  assert.ok(noStream instanceof kv.ResourceNotFoundException);
  step("deleted", { gone: shown(gone), noStream: shown(noStream) });
}

async function signatures() {
  const skewed = new rek.RekognitionClient({ systemClockOffset: -600_000 });
  const mended = await skewed.send(new rek.ListCollectionsCommand({}));
  const stranger = new rek.RekognitionClient({
    credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: "wrong" },
  });
  const refused = await failure(stranger.send(new rek.ListCollectionsCommand({})));

  // A presigned request, made by the client's own signer: the signature is in the query.
  const signer = await video.config.signer({
    name: "sigv4",
    signingName: "kinesisvideo",
    signingRegion: "us-east-1",
  });
  const { protocol, hostname, port } = new URL(AWS_ENDPOINT_URL);
  const url = await signer.presign(
    {
      method: "POST",
      protocol,
      hostname,
      port: Number(port),
      path: "/listStreams",
      headers: { host: `${hostname}:${port}`, "content-type": "application/json" },
      query: {},
      body: "{}",
    },
    { expiresIn: 60 },
  );
  const query = new URLSearchParams(url.query).toString();
  const presigned = await fetch(`${AWS_ENDPOINT_URL}/listStreams?${query}`, {
    method: "POST",
    body: "{}",
    headers: { "content-type": "application/json" },
  });
  step("signatures", {
    attemptsWithWrongClock: mended.$metadata.attempts,
    refused: shown(refused),
    presigned: presigned.status,
    presignedAnswer: await presigned.json(),
  });
}

const faceId = await collection();
await users(faceId);
const streamArn = await processor();
await until("records", () => recordCount() >= EXPECTED_RECORDS);
step("media", { live: await readMedia("live.mkv"), archived: await readArchive("archived.mkv") });
await end(streamArn, faceId);
await signatures();
