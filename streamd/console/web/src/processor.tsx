// One stream processor: what it sees now, its regions, its sightings, start, stop, delete.
import { useState } from "preact/hooks";
import type { Api } from "./aws";
import { hrefTo, usePolling } from "./hooks";
import { LiveView } from "./live";
import { taskOf } from "./processors";
import { RegionEditor } from "./regions";
import { SightingList } from "./sightings";
import type { Region, Sighting, StreamProcessor } from "./types";
import { Ago, Button, Confirm, Dialog, ErrorNote, Loading, StatusBadge } from "./ui";

const ENDED = ["STOPPED", "FAILED"];
const POLL_MS = 300;
const STOP_MS = 40_000;

export function Processor({ api, name }: { api: Api; name: string }) {
  const { data, error, reload } = usePolling<StreamProcessor>(
    () => api.call("DescribeStreamProcessor", { Name: name }),
    2,
    [api, name],
  );
  const [asked, setAsked] = useState<"start" | "delete" | null>(null);
  const [isEditing, setEditing] = useState(false);
  const [trouble, setTrouble] = useState<Error | null>(null);
  const act = async (work: () => Promise<unknown>) => {
    setTrouble(null);
    try {
      await work();
    } catch (caught) {
      setTrouble(caught as Error);
    }
    await reload();
  };
  const start = (input: object = {}) =>
    act(() => api.call("StartStreamProcessor", { Name: name, ...input }));
  const isLabel = Boolean(data?.Settings?.ConnectedHome);
  const isEnded = data !== null && ENDED.includes(data.Status);
  return (
    <>
      <p class="crumbs">
        <a href={hrefTo("processors")}>Stream processors</a>
      </p>
      <div class="title">
        <h1>{name}</h1>
        {data && <StatusBadge status={data.Status} />}
        {isLabel && data?.Status === "STARTING" && (
          <p class="dim small">Label detection is STARTING while its session lasts.</p>
        )}
        {data && (
          <div class="actions">
            {isEnded ? (
              <Button kind="primary" onClick={() => (isLabel ? setAsked("start") : start())}>
                Start
              </Button>
            ) : (
              <Button
                disabled={data.Status === "STOPPING" || data.Status === "UPDATING"}
                onClick={() => act(() => api.call("StopStreamProcessor", { Name: name }))}
              >
                Stop
              </Button>
            )}
            {!isEditing && <Button onClick={() => setEditing(true)}>Edit regions</Button>}
            <Button
              kind="danger"
              disabled={!isEnded}
              title={isEnded ? undefined : "Stop it first"}
              onClick={() => setAsked("delete")}
            >
              Delete
            </Button>
          </div>
        )}
      </div>
      <ErrorNote error={trouble ?? error} />
      {!data && !error && <Loading what="the stream processor" />}
      {data && (
        <>
          {data.StatusMessage && (
            <p class={`note ${data.Status === "FAILED" ? "bad" : ""}`}>{data.StatusMessage}</p>
          )}
          <div class="columns">
            <div>
              {isEditing ? (
                <RegionEditor
                  api={api}
                  processor={data}
                  onClose={() => setEditing(false)}
                  onSave={async (regions) => {
                    await saveRegions(api, data, regions);
                    await reload();
                  }}
                />
              ) : (
                <LiveView api={api} processor={data} regions={data.RegionsOfInterest ?? []} />
              )}
              <Facts processor={data} />
            </div>
            <Recent api={api} name={name} />
          </div>
        </>
      )}
      {asked === "start" && (
        <StartLabels onClose={() => setAsked(null)} onStart={(input) => start(input)} />
      )}
      {asked === "delete" && (
        <Confirm
          title={`Delete ${name}?`}
          action="Delete"
          onClose={() => setAsked(null)}
          onConfirm={async () => {
            await api.call("DeleteStreamProcessor", { Name: name });
            location.hash = hrefTo("processors");
          }}
        >
          <p>Its settings and its sightings are gone for good. Its video and results stay.</p>
        </Confirm>
      )}
    </>
  );
}

function Facts({ processor }: { processor: StreamProcessor }) {
  const { Output: output, Settings: settings } = processor;
  const regions = processor.RegionsOfInterest?.length ?? 0;
  const facts: [string, preact.ComponentChildren][] = [
    ["Task", taskOf(processor)],
    ["Regions of interest", regions ? `${regions}` : "the whole frame"],
    [
      "Threshold",
      settings?.FaceSearch
        ? `${settings.FaceSearch.FaceMatchThreshold} % similarity`
        : `${settings?.ConnectedHome?.MinConfidence ?? 50} % confidence`,
    ],
    [
      "Results go to",
      output?.KinesisDataStream?.Arn ??
        `s3://${output?.S3Destination?.Bucket ?? ""}/${output?.S3Destination?.KeyPrefix ?? ""}`,
    ],
  ];
  if (processor.NotificationChannel) {
    facts.push(["Notifications go to", processor.NotificationChannel.SNSTopicArn]);
  }
  if (processor.LastUpdateTimestamp) {
    facts.push(["Last change", <Ago epoch={processor.LastUpdateTimestamp} />]);
  }
  return (
    <dl class="card facts">
      {facts.map(([term, what]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{what}</dd>
        </div>
      ))}
    </dl>
  );
}

function Recent({ api, name }: { api: Api; name: string }) {
  const { data, error } = usePolling(
    () => api.getJson<{ Sightings: Sighting[] }>("sightings", { name }),
    4,
    [api, name],
  );
  return (
    <section class="recent" aria-labelledby="recent">
      <h2 id="recent">Sightings</h2>
      <ErrorNote error={error} />
      {data && <SightingList api={api} sightings={data.Sightings.slice(0, 24)} isOfOne />}
    </section>
  );
}

function StartLabels(props: { onClose: () => void; onStart: (input: object) => Promise<void> }) {
  const [seconds, setSeconds] = useState("60");
  return (
    <Dialog title="Start label detection" onClose={props.onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void props.onStart({
            StartSelector: { KVSStreamStartSelector: { ProducerTimestamp: Date.now() } },
            StopSelector: { MaxDurationInSeconds: Number(seconds) },
          });
          props.onClose();
        }}
      >
        <p>A label detection session begins now and ends by itself.</p>
        <label>
          Seconds of video, 1 to 120
          <input
            type="number"
            name="seconds"
            min={1}
            max={120}
            required
            value={seconds}
            onInput={(event) => setSeconds(event.currentTarget.value)}
          />
        </label>
        <div class="actions end">
          <Button onClick={props.onClose}>Cancel</Button>
          <Button kind="primary" type="submit">
            Start
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Saves by UpdateStreamProcessor, which AWS allows only while nothing runs. */
async function saveRegions(api: Api, processor: StreamProcessor, regions: Region[]) {
  const name = { Name: processor.Name };
  const runs = !ENDED.includes(processor.Status);
  if (runs) {
    await api.call("StopStreamProcessor", name);
    await untilEnded(api, processor.Name);
  }
  await api.call("UpdateStreamProcessor", {
    ...name,
    ...(regions.length
      ? { RegionsOfInterestForUpdate: regions }
      : { ParametersToDelete: ["RegionsOfInterest"] }),
  });
  // A label session ends by itself; only its user knows whether another one is wanted.
  if (runs && processor.Settings?.FaceSearch) await api.call("StartStreamProcessor", name);
}

async function untilEnded(api: Api, name: string): Promise<void> {
  const deadline = Date.now() + STOP_MS;
  while (Date.now() < deadline) {
    const now = await api.call<StreamProcessor>("DescribeStreamProcessor", { Name: name });
    if (ENDED.includes(now.Status)) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error("The stream processor takes long to stop. Save again in a while.");
}
