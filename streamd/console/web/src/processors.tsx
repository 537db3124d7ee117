// The list of stream processors: state, last result, health.
import type { Api } from "./aws";
import { hrefTo, usePolling } from "./hooks";
import { SightingPicture } from "./pictures";
import type { StreamProcessor } from "./types";
import { certaintyOf, nameOf, streamNameOf } from "./types";
import { Ago, Empty, ErrorNote, Loading, StatusBadge } from "./ui";

export interface ProcessorPage {
  StreamProcessors: StreamProcessor[];
  After: string | null;
}

export async function allProcessors(api: Api): Promise<StreamProcessor[]> {
  const found: StreamProcessor[] = [];
  let after: string | null = null;
  do {
    const page: ProcessorPage = await api.getJson("stream-processors", after ? { after } : {});
    found.push(...page.StreamProcessors);
    after = page.After;
  } while (after);
  return found;
}

export function Processors({ api }: { api: Api }) {
  const { data, error } = usePolling(() => allProcessors(api), 3, [api]);
  const failed = data?.filter((one) => one.Status === "FAILED").length ?? 0;
  // A label detection session is STARTING for its whole run.
  const working = data?.filter((one) => ["RUNNING", "STARTING"].includes(one.Status)).length ?? 0;
  return (
    <>
      <div class="title">
        <h1>Stream processors</h1>
        {data && data.length > 0 && (
          <p class="dim">
            {working} of {data.length} at work{failed > 0 && `, ${failed} failed`}
          </p>
        )}
      </div>
      <ErrorNote error={error} />
      {!data && !error && <Loading what="stream processors" />}
      {data?.length === 0 && (
        <Empty title="No stream processors yet">
          <p>
            A stream processor looks at one video stream, for faces of a collection or for people,
            pets and packages. Create one with an AWS SDK, or with the AWS CLI:
          </p>
          <pre tabIndex={0}>{createCommand()}</pre>
        </Empty>
      )}
      <ul class="cards">
        {data?.map((one) => (
          <li key={one.Name}>
            <ProcessorCard api={api} processor={one} />
          </li>
        ))}
      </ul>
    </>
  );
}

function ProcessorCard({ api, processor }: { api: Api; processor: StreamProcessor }) {
  const last = processor.LastSighting;
  return (
    <a class="card processor" href={hrefTo("processors", processor.Name)}>
      <div class="thumb">
        {last ? (
          <SightingPicture api={api} sighting={last} />
        ) : (
          <span class="dim small">
            {last === undefined ? "Not visible to this key" : "No sighting yet"}
          </span>
        )}
      </div>
      <div class="processor-text">
        <h2>{processor.Name}</h2>
        <StatusBadge status={processor.Status} />
        <p class="dim">{taskOf(processor)}</p>
        {last && (
          <p>
            <b>{nameOf(last)}</b> {Math.round(certaintyOf(last))} % ·{" "}
            <Ago epoch={last.LastSeenAt} />
          </p>
        )}
        {processor.StatusMessage && (
          <p class={processor.Status === "FAILED" ? "bad-text" : "warn-text"}>
            {processor.StatusMessage}
          </p>
        )}
      </div>
    </a>
  );
}

/** What a stream processor does, in a line. */
export function taskOf(processor: StreamProcessor): string {
  const stream = streamNameOf(processor);
  const face = processor.Settings?.FaceSearch;
  if (face) return `Face search in ${face.CollectionId}, video stream ${stream}`;
  const home = processor.Settings?.ConnectedHome;
  return home ? `Label detection of ${home.Labels.join(", ")}, video stream ${stream}` : "";
}

function createCommand(): string {
  return [
    "aws rekognition create-stream-processor \\",
    `  --endpoint-url ${location.origin} \\`,
    "  --name front-door \\",
    "  --input KinesisVideoStream={Arn=ARN_OF_THE_VIDEO_STREAM} \\",
    "  --stream-processor-output KinesisDataStream={Arn=arn:aws:kinesis:…:stream/faces} \\",
    "  --settings FaceSearch={CollectionId=family,FaceMatchThreshold=85} \\",
    "  --role-arn arn:aws:iam::000000000000:role/streamd",
  ].join("\n");
}
