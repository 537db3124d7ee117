import type { ComponentChildren } from "preact";

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      {children}
    </svg>
  );
}

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" />
      <path d="M7 12V7h5M20 7h5v5M25 20v5h-5M12 25H7v-5" />
      <circle cx="16" cy="16" r="4.2" />
    </svg>
  );
}

export const ProcessorsIcon = () => (
  <Icon>
    <rect x="3" y="5" width="18" height="14" rx="2" />
    <path d="m10 9 5 3-5 3z" />
  </Icon>
);
export const SightingsIcon = () => (
  <Icon>
    <path d="M2 12s3.6-6.5 10-6.5S22 12 22 12s-3.6 6.5-10 6.5S2 12 2 12z" />
    <circle cx="12" cy="12" r="2.8" />
  </Icon>
);
export const CollectionsIcon = () => (
  <Icon>
    <circle cx="9" cy="8" r="3.5" />
    <path d="M2.5 20c.6-4 3-6 6.5-6s5.900 2 6.500 6M16 5a3.500 3.500 0 0 1 0 6.500M18.500 14.500c1.700.9 2.700 2.700 3 5.500" />
  </Icon>
);
export const CamerasIcon = () => (
  <Icon>
    <path d="m3 8 14-4 2 6-14 4zM9 13l2 5H5M5 15v6" />
  </Icon>
);
