// Collections, and who is in one.
import { useState } from "preact/hooks";
import { PersonForm } from "./add-person";
import { type Api, allPages } from "./aws";
import { hrefTo, usePolling } from "./hooks";
import type { Face } from "./types";
import { Button, Confirm, Empty, ErrorNote, Loading } from "./ui";

interface Listed {
  CollectionIds: string[];
  FaceModelVersions: string[];
  NextToken?: string;
}

interface Collection {
  id: string;
  faces: number | null;
}

async function allCollections(api: Api): Promise<Collection[]> {
  const pages = await allPages<Listed>(api, "ListCollections");
  const ids = pages.flatMap((page) => page.CollectionIds);
  return Promise.all(
    ids.map(async (id) => {
      try {
        const found = await api.call<{ FaceCount: number }>("DescribeCollection", {
          CollectionId: id,
        });
        return { id, faces: found.FaceCount };
      } catch {
        return { id, faces: null }; // listed, but this key may not look into it
      }
    }),
  );
}

export function Collections({ api }: { api: Api }) {
  const { data, error, reload } = usePolling(() => allCollections(api), 15, [api]);
  const [id, setId] = useState("");
  const [trouble, setTrouble] = useState<Error | null>(null);
  const create = async () => {
    setTrouble(null);
    try {
      await api.call("CreateCollection", { CollectionId: id.trim() });
      location.hash = hrefTo("collections", id.trim());
    } catch (caught) {
      setTrouble(caught as Error);
      await reload();
    }
  };
  return (
    <>
      <div class="title">
        <h1>Collections</h1>
      </div>
      <ErrorNote error={error} />
      {!data && !error && <Loading what="collections" />}
      {data?.length === 0 && (
        <Empty title="No collections yet">
          <p>A collection holds the faces of people a stream processor is to know. Create one:</p>
        </Empty>
      )}
      <ul class="cards small-cards">
        {data?.map((one) => (
          <li key={one.id}>
            <a class="card" href={hrefTo("collections", one.id)}>
              <h2>{one.id}</h2>
              <p class="dim">{facesText(one.faces)}</p>
            </a>
          </li>
        ))}
      </ul>
      <form
        class="card inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          void create();
        }}
      >
        <label>
          New collection
          <input
            name="collection"
            value={id}
            onInput={(event) => setId(event.currentTarget.value)}
            pattern="[a-zA-Z0-9_.\-]+"
            maxLength={255}
            title="Letters, digits and _ . - without spaces"
            placeholder="family"
            autocomplete="off"
            required
          />
        </label>
        <Button kind="primary" type="submit">
          Create
        </Button>
        <ErrorNote error={trouble} />
      </form>
    </>
  );
}

interface Person {
  name: string | null;
  faces: Face[];
}

async function people(api: Api, id: string): Promise<Person[]> {
  const pages = await allPages<{ Faces: Face[]; NextToken?: string }>(api, "ListFaces", {
    CollectionId: id,
  });
  const byName = new Map<string, Person>();
  for (const face of pages.flatMap((page) => page.Faces)) {
    const name = face.ExternalImageId ?? null;
    // Faces without a name are nobody's: each stands alone.
    const key = name ?? `\0${face.FaceId}`;
    const person = byName.get(key) ?? { name, faces: [] };
    person.faces.push(face);
    byName.set(key, person);
  }
  return [...byName.values()].sort((a, b) => (a.name ?? "~").localeCompare(b.name ?? "~"));
}

export function CollectionPage({ api, id }: { api: Api; id: string }) {
  const { data, error, reload } = usePolling(() => people(api, id), 10, [api, id]);
  const [removing, setRemoving] = useState<Person | null>(null);
  const [isDeleting, setDeleting] = useState(false);
  const [said, setSaid] = useState("");
  return (
    <>
      <p class="crumbs">
        <a href={hrefTo("collections")}>Collections</a>
      </p>
      <div class="title">
        <h1>{id}</h1>
        <div class="actions">
          <Button kind="danger" onClick={() => setDeleting(true)}>
            Delete collection
          </Button>
        </div>
      </div>
      <ErrorNote error={error} />
      {!data && !error && <Loading what="people" />}
      {data && (
        <div class="columns even">
          <section aria-labelledby="people">
            <h2 id="people">{data.length === 1 ? "1 person" : `${data.length} people`}</h2>
            {data.length === 0 && (
              <p class="dim">Nobody is in it yet. Add the first person with a photo.</p>
            )}
            <ul class="people">
              {data.map((person) => (
                <li key={person.name ?? person.faces[0]?.FaceId} class="card">
                  <span class="initial" aria-hidden="true">
                    {(person.name ?? "?").slice(0, 1).toUpperCase()}
                  </span>
                  <span>
                    <b>{person.name ?? "No name"}</b>
                    <br />
                    <span class="dim small">
                      {facesText(person.faces.length)}
                      {person.name === null && `, ${person.faces[0]?.FaceId}`}
                    </span>
                  </span>
                  <Button
                    aria-label={`Remove ${person.name ?? "the face without a name"}`}
                    onClick={() => setRemoving(person)}
                  >
                    Remove
                  </Button>
                </li>
              ))}
            </ul>
          </section>
          <section class="card" aria-labelledby="add">
            <h2 id="add">Add a person</h2>
            <PersonForm
              api={api}
              collectionId={id}
              photo={null}
              onAdded={async (name) => {
                setSaid(`${name} was added.`);
                await reload();
              }}
            />
            <p role="status" class="said good-text">
              {said}
            </p>
            <p class="dim small">
              The collection keeps a vector of the face, not the photo. Several photos of one
              person, under the same name, make it surer.
            </p>
          </section>
        </div>
      )}
      {removing && (
        <Confirm
          title={`Remove ${removing.name ?? "this face"}?`}
          action="Remove"
          onClose={() => setRemoving(null)}
          onConfirm={async () => {
            const ids = removing.faces.map((face) => face.FaceId);
            await api.call("DeleteFaces", { CollectionId: id, FaceIds: ids });
            setSaid("");
            await reload();
          }}
        >
          <p>
            {facesText(removing.faces.length)} will be deleted from the collection. Stream
            processors will not know {removing.name ?? "it"} any more.
          </p>
        </Confirm>
      )}
      {isDeleting && (
        <Confirm
          title={`Delete the collection ${id}?`}
          action="Delete"
          onClose={() => setDeleting(false)}
          onConfirm={async () => {
            await api.call("DeleteCollection", { CollectionId: id });
            location.hash = hrefTo("collections");
          }}
        >
          <p>All faces in it are deleted. Stream processors that search it will fail.</p>
        </Confirm>
      )}
    </>
  );
}

function facesText(count: number | null): string {
  if (count === null) return "not yours to look into";
  return count === 1 ? "1 face" : `${count} faces`;
}
