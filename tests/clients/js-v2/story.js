// AWS SDK for JavaScript v2: the whole story against a daemon, a JSON line for every step.
//
// Keys and region come from the environment; v2 takes the endpoint from its configuration.
// PHOTO is a JPEG with one face, RECORDS the file of the local Kinesis output, MEDIA_DIR where
// media read from the daemon are left for the test to open.

"use strict";

// v2 is in maintenance and says so at every start.
process.env.AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE = "1";

const assert = require("node:assert/strict");
const { existsSync, readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");
const KinesisVideo = require("aws-sdk/clients/kinesisvideo");
const KinesisVideoArchivedMedia = require("aws-sdk/clients/kinesisvideoarchivedmedia");
const KinesisVideoMedia = require("aws-sdk/clients/kinesisvideomedia");
const Rekognition = require("aws-sdk/clients/rekognition");

const { PHOTO, RECORDS, MEDIA_DIR, AWS_ENDPOINT_URL } = process.env;
const EXPECTED_RECORDS = 10;
const EXPECTED_FRAGMENTS = 2;
const name = "js-v2";
const photo = readFileSync(PHOTO);
const here = { endpoint: AWS_ENDPOINT_URL, maxRetries: 0 };

const rekognition = new Rekognition(here);
const video = new KinesisVideo(here);

function step(what, fields = {}) {
  process.stdout.write(JSON.stringify({ step: what, ...fields }) + "\n");
}

// The error a call ends with; v2 tells errors by their code.
async function failure(request) {
  try {
    await request.promise();
  } catch (error) {
    const { code, statusCode, requestId, retryable, message } = error;
    return { code, statusCode, requestId, retryable, message };
  }
  return assert.fail("the call was expected to fail");
}

async function until(what, condition) {
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(100)) {
    const value = await condition();
    if (value) return value;
  }
  return assert.fail(`waited in vain for ${what}`);
}

function processorIs(status) {
  return until(status, async () => {
    const answer = await rekognition.describeStreamProcessor({ Name: name }).promise();
    assert.notEqual(answer.Status, "FAILED", answer.StatusMessage);
    return answer.Status === status && answer;
  });
}

async function endpoint(APIName) {
  const answer = await video.getDataEndpoint({ StreamName: name, APIName }).promise();
  return answer.DataEndpoint;
}

async function collection() {
  const created = await rekognition.createCollection({ CollectionId: name }).promise();
  const alreadyExists = await failure(rekognition.createCollection({ CollectionId: name }));
  const indexed = await rekognition
    .indexFaces({ CollectionId: name, ExternalImageId: "astronaut", Image: { Bytes: photo } })
    .promise();
  const searched = await rekognition
    .searchFacesByImage({ CollectionId: name, Image: { Bytes: photo } })
    .promise();
  const described = await rekognition.describeCollection({ CollectionId: name }).promise();
  assert.ok(described.CreationTimestamp instanceof Date);
  step("collection", {
    status: created.StatusCode,
    faceCount: described.FaceCount,
    createdMs: described.CreationTimestamp.getTime(),
    similarity: searched.FaceMatches[0].Similarity,
    matched: searched.FaceMatches[0].Face.ExternalImageId,
    alreadyExists,
  });
  return indexed.FaceRecords[0].Face.FaceId;
}

async function processor() {
  const { StreamARN } = await video
    .createStream({ StreamName: name, DataRetentionInHours: 1 })
    .promise();
  await rekognition
    .createStreamProcessor({
      Name: name,
      Input: { KinesisVideoStream: { Arn: StreamARN } },
      Output: {
        KinesisDataStream: { Arn: `arn:aws:kinesis:us-east-1:000000000000:stream/${name}` },
      },
      Settings: { FaceSearch: { CollectionId: name, FaceMatchThreshold: 85.5 } },
      RoleArn: "arn:aws:iam::000000000000:role/streamd",
    })
    .promise();
  await rekognition.startStreamProcessor({ Name: name }).promise();
  const described = await processorIs("RUNNING");
  const busy = await failure(rekognition.startStreamProcessor({ Name: name }));
  // v2 checks values only on request; what it lets through the daemon refuses.
  const invalid = await failure(rekognition.describeStreamProcessor({ Name: "a b" }));
  const pages = [];
  await new Promise((resolve, reject) => {
    rekognition.listStreamProcessors({ MaxResults: 1 }).eachPage((error, page) => {
      if (error) reject(error);
      else if (page === null) resolve();
      else pages.push(page.StreamProcessors.map((each) => each.Name));
      return true;
    });
  });
  step("running", { settings: described.Settings, busy, invalid, pages });
  return StreamARN;
}

function recordCount() {
  return existsSync(RECORDS) ? readFileSync(RECORDS, "utf8").split("\n").length - 1 : 0;
}

// Reads a live answer until it has brought so many whole fragments, and lets go of it.
async function readMedia(file) {
  const client = new KinesisVideoMedia({ ...here, endpoint: await endpoint("GET_MEDIA") });
  const request = client.getMedia({
    StreamName: name,
    StartSelector: { StartSelectorType: "EARLIEST" },
  });
  const chunks = [];
  let fragments = 0;
  for await (const chunk of request.createReadStream()) {
    chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("latin1");
    fragments = text.split("AWS_KINESISVIDEO_CONTINUATION_TOKEN").length - 1;
    if (fragments >= EXPECTED_FRAGMENTS) break;
  }
  request.abort();
  writeFileSync(join(MEDIA_DIR, file), Buffer.concat(chunks));
  return fragments;
}

async function readArchive(file) {
  const client = new KinesisVideoArchivedMedia({
    ...here,
    endpoint: await endpoint("LIST_FRAGMENTS"),
  });
  const { Fragments } = await client
    .listFragments({
      StreamName: name,
      FragmentSelector: {
        FragmentSelectorType: "SERVER_TIMESTAMP",
        TimestampRange: { StartTimestamp: new Date(0), EndTimestamp: new Date(4e12) },
      },
    })
    .promise();
  assert.ok(Fragments.every((each) => each.ServerTimestamp instanceof Date));
  const numbers = Fragments.map((each) => each.FragmentNumber).sort();
  const answer = await client
    .getMediaForFragmentList({ StreamName: name, Fragments: numbers })
    .promise();
  writeFileSync(join(MEDIA_DIR, file), answer.Payload);
  return numbers;
}

async function end(streamArn, faceId) {
  await rekognition.stopStreamProcessor({ Name: name }).promise();
  await processorIs("STOPPED");
  await rekognition.deleteStreamProcessor({ Name: name }).promise();
  const gone = await failure(rekognition.describeStreamProcessor({ Name: name }));
  await rekognition.deleteFaces({ CollectionId: name, FaceIds: [faceId] }).promise();
  await rekognition.deleteCollection({ CollectionId: name }).promise();
  await video.deleteStream({ StreamARN: streamArn }).promise();
  const noStream = await failure(video.describeStream({ StreamName: name }));
  step("deleted", { gone, noStream });
}

async function signatures() {
  const skewed = new Rekognition({ ...here, correctClockSkew: true, maxRetries: 1 });
  skewed.config.systemClockOffset = 600_000;
  const request = skewed.listCollections();
  const mended = await request.promise();
  const stubborn = new Rekognition({ ...here, correctClockSkew: false });
  stubborn.config.systemClockOffset = 600_000;
  const early = await failure(stubborn.listCollections());
  const accessKeyId = process.env.AWS_ACCESS_KEY_ID;
  const credentials = { accessKeyId, secretAccessKey: "wrong" };
  const stranger = new Rekognition({ ...here, credentials });
  const refused = await failure(stranger.listCollections());
  step("signatures", {
    collections: mended.CollectionIds,
    retries: mended.$response.retryCount,
    early,
    refused,
  });
}

async function main() {
  const faceId = await collection();
  const streamArn = await processor();
  await until("records", () => recordCount() >= EXPECTED_RECORDS);
  step("media", { live: await readMedia("live.mkv"), archived: await readArchive("archived.mkv") });
  await end(streamArn, faceId);
  await signatures();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
