// The frame of all pages: who is signed in, where one is, where one can go.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Api, type DaemonSettings, type Key, loadSettings, storeKey, storedKey } from "./aws";
import { Cameras } from "./cameras";
import { CollectionPage, Collections } from "./collections";
import { hrefTo, useRoute } from "./hooks";
import { CamerasIcon, CollectionsIcon, Logo, ProcessorsIcon, SightingsIcon } from "./icons";
import { forgetPictures } from "./pictures";
import { Processor } from "./processor";
import { Processors } from "./processors";
import { SignIn } from "./signin";
import { Sightings } from "./sightings";
import { Button, Empty, ErrorNote, Loading } from "./ui";

const PAGES = [
  { path: "processors", name: "Stream processors", short: "Processors", icon: ProcessorsIcon },
  { path: "sightings", name: "Sightings", short: "Sightings", icon: SightingsIcon },
  { path: "collections", name: "Collections", short: "Collections", icon: CollectionsIcon },
  { path: "cameras", name: "Cameras", short: "Cameras", icon: CamerasIcon },
];
const RETRY_MS = 3000;

export function App() {
  const [settings, setSettings] = useState<DaemonSettings | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [key, setKey] = useState<Key | null>(storedKey);
  const [refusal, setRefusal] = useState<string | null>(null);
  const [lastKeyId, setLastKeyId] = useState("");

  useEffect(() => {
    let timer = 0;
    const load = () =>
      loadSettings().then(setSettings, (caught: Error) => {
        setError(caught);
        timer = window.setTimeout(load, RETRY_MS);
      });
    void load();
    return () => window.clearTimeout(timer);
  }, []);

  const changeKey = (next: Key | null) => {
    storeKey(next);
    forgetPictures();
    setKey(next);
  };
  const api = useMemo(() => {
    if (!settings) return null;
    const isSigned = settings.AuthMode === "sigv4";
    return new Api(settings, isSigned ? key : null, (refused) => {
      setRefusal(refused.message);
      changeKey(null);
    });
  }, [settings, key]);

  if (!settings || !api) {
    return (
      <main class="sign-in">
        {error ? <ErrorNote error={error} /> : <Loading what="the console" />}
      </main>
    );
  }
  if (settings.AuthMode === "sigv4" && !key) {
    return (
      <SignIn
        refusal={refusal}
        lastKeyId={lastKeyId}
        onKey={(given) => {
          setRefusal(null);
          setLastKeyId(given.accessKeyId);
          changeKey(given);
        }}
      />
    );
  }
  return (
    <Shell
      settings={settings}
      keyId={settings.AuthMode === "sigv4" ? (key?.accessKeyId ?? null) : null}
      onSignOut={() => {
        setRefusal(null);
        setLastKeyId("");
        changeKey(null);
      }}
    >
      {(route) => <Page api={api} route={route} />}
    </Shell>
  );
}

function Shell(props: {
  settings: DaemonSettings;
  keyId: string | null;
  onSignOut: () => void;
  children: (route: string[]) => preact.ComponentChildren;
}) {
  const route = useRoute();
  const here = route[0] ?? "processors";
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  const path = route.join("/");
  useEffect(() => {
    document.title = `${route[1] ?? PAGES.find((page) => page.path === here)?.name ?? "streamd"} · streamd`;
    // Who reads by ear or moves by keyboard begins at the new page, not at the old link.
    if (!isFirst.current) {
      main.current?.focus();
      window.scrollTo(0, 0);
    }
    isFirst.current = false;
  }, [path]);
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to content
      </a>
      <header>
        <a class="brand" href={hrefTo("processors")}>
          <Logo /> streamd
        </a>
        <nav aria-label="Pages">
          {PAGES.map(({ path: to, name, short, icon: PageIcon }) => (
            <a key={to} href={hrefTo(to)} aria-current={here === to ? "page" : undefined}>
              <PageIcon />
              <span class="long">{name}</span>
              <span class="short" aria-hidden="true">
                {short}
              </span>
            </a>
          ))}
        </nav>
        <div class="who-am-i">
          {props.keyId ? (
            <>
              <span class="dim small key-id">{props.keyId}</span>
              <Button onClick={props.onSignOut}>Sign out</Button>
            </>
          ) : (
            <span class="dim small">{props.settings.Region}</span>
          )}
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {props.children(route)}
      </main>
    </>
  );
}

function Page({ api, route }: { api: Api; route: string[] }) {
  const [page = "processors", name] = route;
  switch (page) {
    case "processors":
      return name ? <Processor key={name} api={api} name={name} /> : <Processors api={api} />;
    case "sightings":
      return <Sightings api={api} />;
    case "collections":
      return name ? <CollectionPage key={name} api={api} id={name} /> : <Collections api={api} />;
    case "cameras":
      return <Cameras api={api} />;
    default:
      return (
        <Empty title="There is no such page">
          <p>
            <a href={hrefTo("processors")}>To the stream processors</a>
          </p>
        </Empty>
      );
  }
}
