// Adding a person to a collection by photo: IndexFaces with ExternalImageId.
import { useEffect, useState } from "preact/hooks";
import { type Api, AwsError, allPages } from "./aws";
import { useBlobUrl } from "./hooks";
import { imageBytes } from "./photos";
import { Button, Dialog, ErrorNote } from "./ui";

/** As the service allows ExternalImageId. */
const NAME_PATTERN = "[a-zA-Z0-9_.\\-:]+";

interface IndexAnswer {
  FaceRecords?: { Face?: { FaceId: string } }[];
  UnindexedFaces?: { Reasons?: string[] }[];
}

const REASONS: Record<string, string> = {
  EXCEEDS_MAX_FACES: "there is another, larger face",
  EXTREME_POSE: "the face looks too far aside",
  LOW_BRIGHTNESS: "it is too dark",
  LOW_CONFIDENCE: "it is hardly a face",
  LOW_FACE_QUALITY: "the picture is poor",
  LOW_SHARPNESS: "it is blurred",
  SMALL_BOUNDING_BOX: "the face is too small",
};

export async function indexPhoto(api: Api, collectionId: string, name: string, photo: Blob) {
  const answer = await api.call<IndexAnswer>("IndexFaces", {
    CollectionId: collectionId,
    ExternalImageId: name,
    Image: { Bytes: await imageBytes(photo) },
    MaxFaces: 1,
    QualityFilter: "AUTO",
  });
  if (answer.FaceRecords?.length) return;
  const reasons = (answer.UnindexedFaces ?? []).flatMap((face) => face.Reasons ?? []);
  const told = [...new Set(reasons)].map((reason) => REASONS[reason] ?? reason).join(", ");
  throw new AwsError(
    "No face was added",
    told
      ? `The face in the photo cannot be used: ${told}. Take another photo.`
      : "No face was found in the photo. Take one from the front, in good light.",
  );
}

export function PersonForm(props: {
  api: Api;
  /** The collection; null: it is asked for. */
  collectionId: string | null;
  /** The photo; null: it is asked for. */
  photo: Blob | null;
  onAdded: (name: string) => void | Promise<void>;
}) {
  const [name, setName] = useState("");
  const [file, setFile] = useState<Blob | null>(props.photo);
  const [collections, setCollections] = useState<string[]>([]);
  const [chosen, setChosen] = useState(props.collectionId ?? "");
  const [error, setError] = useState<Error | null>(null);
  const [isBusy, setBusy] = useState(false);
  const preview = useBlobUrl(file);
  useEffect(() => {
    if (props.collectionId) return;
    allPages<{ CollectionIds: string[]; NextToken?: string }>(props.api, "ListCollections").then(
      (pages) => {
        const found = pages.flatMap((page) => page.CollectionIds);
        setCollections(found);
        setChosen(found[0] ?? "");
      },
      (caught: Error) => setError(caught),
    );
  }, []);
  const submit = async (form: HTMLFormElement) => {
    if (!file) return;
    setBusy(true);
    setError(null);
    try {
      await indexPhoto(props.api, chosen, name.trim(), file);
      setName("");
      if (!props.photo) {
        setFile(null);
        form.reset();
      }
      await props.onAdded(name.trim());
    } catch (caught) {
      setError(caught as Error);
    }
    setBusy(false);
  };
  return (
    <form
      class="person-form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit(event.currentTarget);
      }}
    >
      <div class="preview">
        {preview ? <img src={preview} alt="The chosen photo" /> : <span class="dim">Photo</span>}
      </div>
      <div class="fields">
        {!props.collectionId && (
          <label>
            Collection
            <select
              value={chosen}
              required
              onChange={(event) => setChosen(event.currentTarget.value)}
            >
              {collections.map((id) => (
                <option key={id} value={id}>
                  {id}
                </option>
              ))}
            </select>
          </label>
        )}
        <label>
          Name
          <input
            name="name"
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
            pattern={NAME_PATTERN}
            maxLength={255}
            title="Letters, digits and _ . - : without spaces (ExternalImageId)"
            autocomplete="off"
            placeholder="alice"
            required
          />
        </label>
        {!props.photo && (
          <label>
            Photo with one face, from the front
            <input
              type="file"
              name="photo"
              accept="image/jpeg,image/png"
              required
              onChange={(event) => {
                setFile(event.currentTarget.files?.[0] ?? null);
                setError(null);
              }}
            />
          </label>
        )}
        <ErrorNote error={error} />
        <div class="actions">
          <Button kind="primary" type="submit" disabled={isBusy}>
            {isBusy ? "Adding …" : "Add person"}
          </Button>
        </div>
      </div>
    </form>
  );
}

export function AddPerson(props: { api: Api; photo: Blob; onClose: () => void }) {
  return (
    <Dialog title="Who is it?" onClose={props.onClose}>
      <PersonForm api={props.api} collectionId={null} photo={props.photo} onAdded={props.onClose} />
      <div class="actions end">
        <Button onClick={props.onClose}>Cancel</Button>
      </div>
    </Dialog>
  );
}
