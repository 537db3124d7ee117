// The timeline: who or what was seen, when, by which stream processor, with a picture.
import { useState } from "preact/hooks";
import { AddPerson } from "./add-person";
import type { Api } from "./aws";
import { hrefTo, usePolling } from "./hooks";
import { SightingPicture, sightingBlob } from "./pictures";
import type { Sighting } from "./types";
import { certaintyOf, nameOf } from "./types";
import { Button, Empty, ErrorNote, Loading, clockText } from "./ui";

export function Sightings({ api }: { api: Api }) {
  const { data, error } = usePolling(() => api.getJson<{ Sightings: Sighting[] }>("sightings"), 4, [
    api,
  ]);
  const [processor, setProcessor] = useState("");
  const [subject, setSubject] = useState("");
  const all = data?.Sightings ?? [];
  const shown = all.filter(
    (one) =>
      (!processor || one.StreamProcessorName === processor) &&
      (!subject || nameOf(one) === subject),
  );
  return (
    <>
      <div class="title">
        <h1>Sightings</h1>
        <p class="dim">of the last {Math.round(api.settings.SightingHours)} hours</p>
        {all.length > 0 && (
          <div class="filters">
            <Choice
              label="Stream processor"
              value={processor}
              options={all.map((one) => one.StreamProcessorName)}
              onChange={setProcessor}
            />
            <Choice
              label="Who or what"
              value={subject}
              options={all.map(nameOf)}
              onChange={setSubject}
            />
          </div>
        )}
      </div>
      <ErrorNote error={error} />
      {!data && !error && <Loading what="sightings" />}
      {data && all.length === 0 ? (
        <NoSightings api={api} />
      ) : (
        data && <SightingList api={api} sightings={shown} />
      )}
    </>
  );
}

function NoSightings({ api }: { api: Api }) {
  if (!api.settings.KeepsSightings) {
    return (
      <Empty title="Sightings are turned off">
        <p>Set console.sightings in streamd's settings to how many are to be kept.</p>
      </Empty>
    );
  }
  return (
    <Empty title="Nobody and nothing was seen yet">
      <p>
        Sightings appear here when a <a href={hrefTo("processors")}>stream processor</a> that runs
        finds a face, a person, a pet or a package.
      </p>
    </Empty>
  );
}

function Choice(props: {
  label: string;
  value: string;
  options: string[];
  onChange: (value: string) => void;
}) {
  return (
    <label>
      {props.label}
      <select value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
        <option value="">All</option>
        {[...new Set(props.options)].sort().map((option) => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
    </label>
  );
}

export function SightingList(props: { api: Api; sightings: Sighting[]; isOfOne?: boolean }) {
  const [asked, setAsked] = useState<Blob | null>(null);
  if (props.sightings.length === 0) {
    return <p class="dim">No sightings{props.isOfOne ? " by this stream processor" : ""} yet.</p>;
  }
  return (
    <>
      {byDay(props.sightings).map(([day, sightings]) => (
        <section key={day} class="day" aria-label={day}>
          <h3>{day}</h3>
          <ol class="timeline">
            {sightings.map((one) => (
              <li key={`${one.StreamProcessorName}/${one.Id}`} class="card sighting">
                <SightingPicture api={props.api} sighting={one} />
                <div>
                  <p class="who">
                    <b>{nameOf(one)}</b>
                    <span class="dim">{Math.round(certaintyOf(one))} %</span>
                  </p>
                  <p class="dim tabular">{spanText(one)}</p>
                  {!props.isOfOne && (
                    <p>
                      <a href={hrefTo("processors", one.StreamProcessorName)}>
                        {one.StreamProcessorName}
                      </a>
                    </p>
                  )}
                  {one.Label === "FACE" && !one.FaceId && (
                    <Button
                      aria-label={`Name the unknown face of ${clockText(one.StartedAt)}`}
                      onClick={async () => setAsked(await sightingBlob(props.api, one))}
                    >
                      Who is it?
                    </Button>
                  )}
                </div>
              </li>
            ))}
          </ol>
        </section>
      ))}
      {asked && <AddPerson api={props.api} photo={asked} onClose={() => setAsked(null)} />}
    </>
  );
}

function spanText(sighting: Sighting): string {
  const from = clockText(sighting.StartedAt);
  const to = clockText(sighting.LastSeenAt);
  return from === to ? from : `${from} – ${to}`;
}

function byDay(sightings: Sighting[]): [string, Sighting[]][] {
  const days = new Map<string, Sighting[]>();
  for (const one of sightings) {
    const day = new Date(one.StartedAt * 1000).toLocaleDateString([], {
      weekday: "long",
      day: "numeric",
      month: "long",
    });
    days.set(day, [...(days.get(day) ?? []), one]);
  }
  return [...days];
}
