// Pictures that only signed requests get: fetched when they come into view, kept as blobs.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Api } from "./aws";
import { useBlobUrl } from "./hooks";
import type { Sighting } from "./types";
import { certaintyOf, kindOf, nameOf } from "./types";

const MAX_KEPT = 300;
const kept = new Map<string, Promise<Blob>>();

function blobOf(api: Api, sighting: Sighting): Promise<Blob> {
  // A sighting gets a better picture when somebody is seen better.
  const key = `${sighting.StreamProcessorName}/${sighting.Id}/${certaintyOf(sighting)}`;
  let found = kept.get(key);
  if (!found) {
    const query = { name: sighting.StreamProcessorName, id: sighting.Id };
    found = api.get("sighting", query).then((answer) => answer.blob());
    found.catch(() => kept.delete(key));
    kept.set(key, found);
    const oldest = kept.keys().next();
    if (kept.size > MAX_KEPT && !oldest.done) kept.delete(oldest.value);
  }
  return found;
}

/** Forgets all pictures: another key may see others. */
export function forgetPictures(): void {
  kept.clear();
}

export async function sightingBlob(api: Api, sighting: Sighting): Promise<Blob> {
  return blobOf(api, sighting);
}

export function SightingPicture({ api, sighting }: { api: Api; sighting: Sighting }) {
  const place = useRef<HTMLSpanElement>(null);
  const [isNear, setNear] = useState(false);
  const [blob, setBlob] = useState<Blob | null>(null);
  const url = useBlobUrl(blob);
  const [size, setSize] = useState({ width: 4, height: 3 });
  useEffect(() => {
    const watch = new IntersectionObserver(
      (entries) => entries.some((entry) => entry.isIntersecting) && setNear(true),
      { rootMargin: "300px" },
    );
    if (place.current) watch.observe(place.current);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    let isOver = false;
    if (isNear) {
      blobOf(api, sighting).then(
        (found) => !isOver && setBlob(found),
        () => !isOver && setBlob(null),
      );
    }
    return () => {
      isOver = true;
    };
  }, [api, isNear, sighting.Id, certaintyOf(sighting)]);
  const box = sighting.BoundingBox;
  return (
    <span class="picture" ref={place}>
      {url && (
        <img
          src={url}
          alt={`${nameOf(sighting)} as seen by the camera`}
          onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) =>
            setSize({ width, height })
          }
        />
      )}
      {url && (
        <svg
          viewBox={`0 0 ${size.width} ${size.height}`}
          preserveAspectRatio="xMidYMid slice"
          aria-hidden="true"
        >
          <rect
            class={`box ${kindOf(sighting)}`}
            x={box.Left * size.width}
            y={box.Top * size.height}
            width={box.Width * size.width}
            height={box.Height * size.height}
          />
        </svg>
      )}
    </span>
  );
}
