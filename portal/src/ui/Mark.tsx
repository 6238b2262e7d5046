export function Mark({ size = 22 }: { size?: number }) {
  return (
    <svg viewBox="0 0 32 32" width={size} height={size} aria-hidden>
      <rect width="32" height="32" rx="7" fill="#2f5fc4" />
      <g fill="none" stroke="#fff" strokeWidth="2.6" strokeLinecap="round">
        <path d="M5 10h22M7.5 15h17M10 10v14M22 10v14" />
      </g>
      <circle cx="16" cy="21" r="2.4" fill="#ffb454" />
    </svg>
  )
}
