import { useEffect, useRef, useState } from "preact/hooks";
import type { Key } from "./aws";
import { Logo } from "./icons";
import { Button } from "./ui";

export function SignIn(props: {
  refusal: string | null;
  /** The access key id that was refused: only the secret is asked for again. */
  lastKeyId: string;
  onKey: (key: Key) => void;
}) {
  const [accessKeyId, setAccessKeyId] = useState(props.lastKeyId);
  const [secretAccessKey, setSecret] = useState("");
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => first.current?.focus(), []);
  return (
    <main class="sign-in">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          props.onKey({ accessKeyId: accessKeyId.trim(), secretAccessKey: secretAccessKey.trim() });
        }}
      >
        <h1>
          <Logo /> streamd
        </h1>
        <p class="dim">Sign in with an access key of this streamd ([auth] in its settings).</p>
        {props.refusal && (
          <div class="note bad" role="alert">
            <strong>The key was refused</strong>
            <p>{props.refusal}</p>
          </div>
        )}
        <label>
          Access key ID
          <input
            ref={props.lastKeyId ? null : first}
            name="access-key-id"
            value={accessKeyId}
            onInput={(event) => setAccessKeyId(event.currentTarget.value)}
            autocomplete="username"
            autocapitalize="off"
            spellcheck={false}
            required
          />
        </label>
        <label>
          Secret access key
          <input
            ref={props.lastKeyId ? first : null}
            type="password"
            name="secret-access-key"
            value={secretAccessKey}
            onInput={(event) => setSecret(event.currentTarget.value)}
            autocomplete="current-password"
            required
          />
        </label>
        <Button kind="primary" type="submit">
          Sign in
        </Button>
        <p class="dim small">
          The secret stays in this tab: it signs requests, is never sent, and is forgotten when the
          tab is closed.
        </p>
      </form>
    </main>
  );
}
