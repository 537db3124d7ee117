// The Rekognition API and the console's own calls, signed in the browser where the daemon wants it.
// The secret key signs and is never sent. The signer is pure JavaScript: browsers keep their own
// cryptography from pages that came without TLS, as a page of a house's own network often does.
import { Sha256 } from "@aws-crypto/sha256-js";
import { SignatureV4 } from "@smithy/signature-v4";

export interface Key {
  accessKeyId: string;
  secretAccessKey: string;
}

export interface DaemonSettings {
  AuthMode: "none" | "sigv4";
  Region: string;
  Version: string;
  KeepsSightings: boolean;
  SightingHours: number;
}

export class AwsError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }

  /** Whether the key itself was refused: another one is needed. */
  get isAboutKey(): boolean {
    return [
      "UnrecognizedClientException",
      "InvalidSignatureException",
      "MissingAuthenticationTokenException",
      "IncompleteSignatureException",
    ].includes(this.code);
  }
}

const STORED_KEY = "streamd-key";
const MAX_CLOCK_ERROR_MS = 4 * 60 * 1000;

/** The key of this tab: sessionStorage ends with the tab and is sent to nobody. */
export function storedKey(): Key | null {
  try {
    const found: unknown = JSON.parse(sessionStorage.getItem(STORED_KEY) ?? "null");
    return isKey(found) ? found : null;
  } catch {
    return null;
  }
}

export function storeKey(key: Key | null): void {
  try {
    if (key) sessionStorage.setItem(STORED_KEY, JSON.stringify(key));
    else sessionStorage.removeItem(STORED_KEY);
  } catch {
    // A browser that keeps nothing: the key lives in memory until the page is left.
  }
}

export class Api {
  private clockErrorMs = 0;

  constructor(
    readonly settings: DaemonSettings,
    private readonly key: Key | null,
    private readonly onKeyRefused: (error: AwsError) => void,
  ) {}

  /** Calls one operation of the Rekognition API. */
  async call<T>(operation: string, input: object = {}): Promise<T> {
    const answer = await this.fetch("POST", "/", {
      body: JSON.stringify(input),
      headers: {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": `RekognitionService.${operation}`,
      },
    });
    return (await answer.json()) as T;
  }

  /** Asks one of the console's own calls. */
  get(name: string, query: Record<string, string> = {}): Promise<Response> {
    return this.fetch("GET", `/console/api/${name}`, { query });
  }

  async getJson<T>(name: string, query: Record<string, string> = {}): Promise<T> {
    return (await (await this.get(name, query)).json()) as T;
  }

  private async fetch(
    method: string,
    path: string,
    request: Request_,
    again = false,
  ): Promise<Response> {
    const url = path + toQuery(request.query);
    const headers = await this.signed(method, path, request);
    let response: Response;
    try {
      response = await fetch(url, {
        method,
        headers,
        body: request.body ?? null,
        cache: "no-store",
        credentials: "omit",
      });
    } catch {
      throw new AwsError("NetworkError", "streamd does not answer. Is it running?");
    }
    if (response.ok) return response;
    const error = await errorOf(response);
    if (error.code === "InvalidSignatureException" && !again && this.learnClock(response)) {
      return this.fetch(method, path, request, true);
    }
    if (error.isAboutKey) this.onKeyRefused(error);
    throw error;
  }

  private async signed(method: string, path: string, request: Request_) {
    const headers = request.headers ?? {};
    if (!this.key) return headers;
    const signer = new SignatureV4({
      credentials: this.key,
      region: this.settings.Region,
      service: "rekognition",
      sha256: Sha256,
    });
    const signed = await signer.sign(
      {
        method,
        protocol: location.protocol,
        hostname: location.hostname,
        path,
        query: request.query ?? {},
        headers: { ...headers, host: location.host },
        body: request.body,
      },
      { signingDate: new Date(Date.now() + this.clockErrorMs) },
    );
    const { host: _, ...sent } = signed.headers;
    return sent;
  }

  /** Takes the daemon's time where this machine's clock is wrong; returns whether that helps. */
  private learnClock(response: Response): boolean {
    const theirs = Date.parse(response.headers.get("date") ?? "");
    if (Number.isNaN(theirs)) return false;
    const error = theirs - Date.now();
    const isNews = Math.abs(error - this.clockErrorMs) > MAX_CLOCK_ERROR_MS;
    this.clockErrorMs = error;
    return isNews;
  }
}

interface Request_ {
  body?: string;
  headers?: Record<string, string>;
  query?: Record<string, string>;
}

export async function loadSettings(): Promise<DaemonSettings> {
  const response = await fetch("/console/api/settings", { cache: "no-store" });
  if (!response.ok) throw await errorOf(response);
  return (await response.json()) as DaemonSettings;
}

/** All pages of a list operation. */
export async function allPages<P extends { NextToken?: string }>(
  api: Api,
  operation: string,
  input: object = {},
): Promise<P[]> {
  const pages: P[] = [];
  let token: string | undefined;
  do {
    const page: P = await api.call<P>(operation, token ? { ...input, NextToken: token } : input);
    pages.push(page);
    token = page.NextToken;
  } while (token);
  return pages;
}

function toQuery(query: Record<string, string> | undefined): string {
  const text = Object.entries(query ?? {})
    .map(([name, value]) => `${escape(name)}=${escape(value)}`)
    .join("&");
  return text && `?${text}`;
}

function escape(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

async function errorOf(response: Response): Promise<AwsError> {
  try {
    const body = (await response.json()) as Record<string, string>;
    const code = body.__type ?? response.headers.get("x-amzn-errortype") ?? "UnknownError";
    return new AwsError(code, body.Message ?? body.message ?? response.statusText);
  } catch {
    return new AwsError("UnknownError", `streamd answered ${response.status}.`);
  }
}

function isKey(value: unknown): value is Key {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as Key).accessKeyId === "string" &&
    typeof (value as Key).secretAccessKey === "string"
  );
}
