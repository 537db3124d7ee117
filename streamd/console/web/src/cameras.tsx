// Cameras and video streams: does video come, and what did it show last.
import { useEffect, useState } from "preact/hooks";
import type { Api } from "./aws";
import { hrefTo, useBlobUrl, usePolling } from "./hooks";
import { allProcessors } from "./processors";
import type { StreamProcessor, VideoStream } from "./types";
import { streamNameOf } from "./types";
import { Ago, Badge, Button, Empty, ErrorNote, Loading } from "./ui";

const STATES: Record<VideoStream["State"], { tone: string; next: string }> = {
  LIVE: { tone: "good", next: "" },
  CONNECTED: { tone: "busy", next: "A camera is connected; its first fragment is on its way." },
  STALLED: { tone: "bad", next: "Connected, but no video comes. Look at the camera." },
  OFFLINE: { tone: "bad", next: "Nobody sends. Check the camera's power, cable and address." },
  EMPTY: { tone: "idle", next: "No video has come yet. streamd doctor names the next step." },
  ELSEWHERE: { tone: "idle", next: "Another replica receives it. Open the console there." },
  UNKNOWN: { tone: "bad", next: "The archive does not answer. See streamd's log." },
};

export function Cameras({ api }: { api: Api }) {
  const { data, error } = usePolling(
    () => api.getJson<{ Streams: VideoStream[] }>("video-streams"),
    4,
    [api],
  );
  const processors = usePolling(() => allProcessors(api), 10, [api]);
  const live = data?.Streams.filter((one) => one.State === "LIVE").length ?? 0;
  return (
    <>
      <div class="title">
        <h1>Cameras</h1>
        {data && data.Streams.length > 0 && (
          <p class="dim">
            {live} of {data.Streams.length} send video
          </p>
        )}
      </div>
      <ErrorNote error={error} />
      {!data && !error && <Loading what="cameras" />}
      {data?.Streams.length === 0 && (
        <Empty title="No cameras yet">
          <p>Name one in streamd's settings, or send a video for a try:</p>
          <pre tabIndex={0}>
            {"[cameras.front-door]\n" + 'url = "rtsp://user:password@camera.local/stream1"'}
          </pre>
          <pre tabIndex={0}>
            {"streamd put-media --stream front-door \\\n" + "  --source rtsp://camera.local/stream"}
          </pre>
        </Empty>
      )}
      <ul class="cards">
        {data?.Streams.map((stream) => (
          <li key={stream.StreamName}>
            <CameraCard api={api} stream={stream} processors={processors.data ?? []} />
          </li>
        ))}
      </ul>
    </>
  );
}

function CameraCard(props: { api: Api; stream: VideoStream; processors: StreamProcessor[] }) {
  const { stream } = props;
  const state = STATES[stream.State];
  const users = props.processors.filter((one) => streamNameOf(one) === stream.StreamName);
  return (
    <article class="card camera">
      <Still api={props.api} stream={stream} />
      <div class="camera-text">
        <h2>{stream.StreamName}</h2>
        <Badge tone={state.tone}>{stream.State}</Badge>
        {stream.LastMediaAt !== undefined && stream.State !== "LIVE" && (
          <p class="dim">
            Last video <Ago epoch={stream.LastMediaAt} />
          </p>
        )}
        {state.next && <p class="dim">{state.next}</p>}
        <p class="dim">
          {stream.Camera
            ? `Camera ${stream.Camera.Name} at ${stream.Camera.Source}`
            : "Sent by a producer (PutMedia)"}
          {stream.DataRetentionInHours !== undefined &&
            `, kept ${stream.DataRetentionInHours}\u00a0h`}
        </p>
        {users.length > 0 && (
          <p>
            <span class="dim">
              {users.length === 1 ? "Stream processor" : "Stream processors"}{" "}
            </span>
            {users.map((one, index) => (
              <span key={one.Name}>
                {index > 0 && ", "}
                <a href={hrefTo("processors", one.Name)}>{one.Name}</a>
              </span>
            ))}
          </p>
        )}
      </div>
    </article>
  );
}

function Still({ api, stream }: { api: Api; stream: VideoStream }) {
  const [blob, setBlob] = useState<Blob | null>(null);
  const [text, setText] = useState("");
  const url = useBlobUrl(blob);
  const hasVideo = stream.LastMediaAt !== undefined;
  const load = async () => {
    setText("Getting a picture …");
    try {
      setBlob(await (await api.get("still", { stream: stream.StreamName })).blob());
      setText("");
    } catch (caught) {
      setText((caught as Error).message);
    }
  };
  useEffect(() => {
    if (hasVideo) void load();
  }, [hasVideo]);
  return (
    <div class="thumb wide">
      {url ? (
        <img src={url} alt={`Newest picture of ${stream.StreamName}`} />
      ) : (
        <span class="dim small">{hasVideo ? text : "No picture"}</span>
      )}
      {url && (
        <Button aria-label={`New picture of ${stream.StreamName}`} onClick={load}>
          New picture
        </Button>
      )}
    </div>
  );
}
