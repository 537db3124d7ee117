// Photos on their way into a request: small enough, and in a format the service reads.

/** Image.Bytes may have 5 MB (API Reference). */
const MAX_BYTES = 5 * 1024 * 1024;
const MAX_PX = 2048;
const CHUNK = 32 * 1024;

/** The photo as base64, made smaller where it is too large. */
export async function imageBytes(photo: Blob): Promise<string> {
  const isFine = photo.size <= MAX_BYTES && ["image/jpeg", "image/png"].includes(photo.type);
  return base64(new Uint8Array(await (isFine ? photo : await reduced(photo)).arrayBuffer()));
}

export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  }
  return btoa(text);
}

async function reduced(photo: Blob): Promise<Blob> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(photo);
  } catch {
    throw new Error("This file is no photo the browser can read. Use a JPEG or a PNG.");
  }
  const scale = Math.min(1, MAX_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve, reject) =>
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error("The photo cannot be made smaller."))),
      "image/jpeg",
      0.92,
    ),
  );
}
