/** Line icons, drawn here so that nothing is fetched. Decorative: the text beside them says the same. */
const PATHS = {
  overview: "M4 13a8 8 0 1 1 16 0M12 13l4-4M4 18h16",
  applications: "M4 5h7v6H4zM13 5h7v6h-7zM4 14h7v5H4zM13 14h7v5h-7z",
  changes: "M7 4v16M7 8h8a3 3 0 0 1 0 6H7M4.5 6.500a2.500 2.500 0 1 0 5 0a2.500 2.500 0 1 0-5 0",
  models: "M12 4l7 4v8l-7 4-7-4V8zM5 8l7 4 7-4M12 12v8",
  stack: "M12 4l8 4-8 4-8-4zM4 12l8 4 8-4M4 16l8 4 8-4",
  audit: "M7 4h10v16H7zM10 8h4M10 12h4M10 16h2",
  plus: "M12 5v14M5 12h14",
  check: "M5 12.500l4.500 4.500L19 7.500",
  cross: "M7 7l10 10M17 7L7 17",
  dash: "M7 12h10",
  bang: "M12 6v8M12 17.500v.5",
  arrow: "M5 12h14M13 6l6 6-6 6",
  out: "M9 5H5v14h14v-4M13 5h6v6M19 5l-9 9",
  sun: "M12 8a4 4 0 1 0 0 8a4 4 0 1 0 0-8M12 3v2M12 19v2M3 12h2M19 12h2M5.600 5.600l1.400 1.400M17 17l1.400 1.400M18.400 5.600L17 7M7 17l-1.400 1.400",
  moon: "M19 14.500A8 8 0 0 1 9.500 5a7.500 7.500 0 1 0 9.500 9.500z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  leave: "M14 5h5v14h-5M4 12h10M8 8l-4 4 4 4",
  seal: "M12 3l7 3v5c0 4.500-3 8-7 10-4-2-7-5.500-7-10V6zM9 11.500l2.200 2.300L15.200 9.500",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
