// Small parts that all pages share.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { AwsError } from "./aws";
import { useNow } from "./hooks";
import type { Status } from "./types";

const HINTS: Record<string, string> = {
  AccessDeniedException: "This key lacks the right. Whoever runs streamd can add it to the key.",
  LimitExceededException: "Stop another stream processor first, or raise the limit in [limits].",
  NetworkError: "The page tries again by itself.",
  ProvisionedThroughputExceededException: "Wait a moment and try again.",
  ResourceInUseException: "Its status has changed meanwhile. Look again in a moment.",
};

export function ErrorNote({ error }: { error: Error | null }) {
  if (!error) return null;
  const code = error instanceof AwsError ? error.code : error.name;
  const hint = HINTS[code];
  return (
    <div class="note bad" role="alert">
      <strong>{code}</strong>
      <p>{error.message}</p>
      {hint && <p class="dim">{hint}</p>}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      <span class="spinner" aria-hidden="true" /> Loading {what} …
    </p>
  );
}

type ButtonProps = Omit<JSX.HTMLAttributes<HTMLButtonElement>, "onClick"> & {
  kind?: "primary" | "danger" | "plain";
  disabled?: boolean;
  type?: "button" | "submit";
  onClick?: () => void | Promise<void>;
  children: ComponentChildren;
};

/** A button that cannot be pressed twice while what it does is on its way. */
export function Button({ kind, onClick, disabled, type, children, ...rest }: ButtonProps) {
  const [isBusy, setBusy] = useState(false);
  const press = async () => {
    setBusy(true);
    try {
      await onClick?.();
    } finally {
      setBusy(false);
    }
  };
  return (
    <button
      {...rest}
      type={type ?? "button"}
      class={`button ${kind ?? "plain"}`}
      disabled={disabled || isBusy}
      aria-busy={isBusy}
      {...(onClick ? { onClick: () => void press() } : {})}
    >
      {children}
    </button>
  );
}

const STATUS_WORDS: Record<Status, string> = {
  STOPPED: "idle",
  STARTING: "busy",
  RUNNING: "good",
  FAILED: "bad",
  STOPPING: "busy",
  UPDATING: "busy",
};

export function StatusBadge({ status }: { status: Status }) {
  return <Badge tone={STATUS_WORDS[status] ?? "idle"}>{status}</Badge>;
}

export function Badge({ tone, children }: { tone: string; children: ComponentChildren }) {
  return (
    <span class={`badge ${tone}`}>
      <span class="dot" aria-hidden="true" />
      {children}
    </span>
  );
}

/** A question before something that cannot be undone, or that needs an answer. */
export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onClose={props.onClose}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
    >
      <h2 id={id}>{props.title}</h2>
      {props.children}
    </dialog>
  );
}

export function Confirm(props: {
  title: string;
  action: string;
  onConfirm: () => Promise<void>;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const [error, setError] = useState<Error | null>(null);
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      {props.children}
      <ErrorNote error={error} />
      <div class="actions end">
        <Button onClick={props.onClose}>Cancel</Button>
        <Button
          kind="danger"
          onClick={async () => {
            try {
              await props.onConfirm();
              props.onClose();
            } catch (caught) {
              setError(caught as Error);
            }
          }}
        >
          {props.action}
        </Button>
      </div>
    </Dialog>
  );
}

export function Ago({ epoch }: { epoch: number }) {
  const now = useNow();
  const moment = new Date(epoch * 1000);
  return (
    <time dateTime={moment.toISOString()} title={moment.toLocaleString()}>
      {agoText(now / 1000 - epoch)}
    </time>
  );
}

export function agoText(seconds: number): string {
  if (seconds < 5) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

export function clockText(epoch: number): string {
  return new Date(epoch * 1000).toLocaleTimeString([], {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hour12: false,
  });
}
