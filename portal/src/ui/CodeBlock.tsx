import { CopyButton } from './CopyButton.tsx'

export function CodeBlock({ code, label, copyLabel }: { code: string; label: string; copyLabel: string }) {
  return (
    <div className="relative min-w-0 rounded-lg border border-line bg-sunken">
      <pre
        role="region"
        aria-label={label}
        tabIndex={0}
        className="max-h-[60vh] overflow-auto px-3 py-2.5 pr-11 font-mono text-xs leading-5"
      >
        {code}
      </pre>
      <div className="absolute top-1.5 right-1.5 rounded-md bg-sunken">
        <CopyButton text={code} label={copyLabel} />
      </div>
    </div>
  )
}
