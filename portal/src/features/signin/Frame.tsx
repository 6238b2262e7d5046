import type { ReactNode } from 'react'
import { setLocale } from '../../app/i18n.ts'
import { Mark } from '../../ui/Mark.tsx'
import { m } from './messages.ts'

/** The page around every step before the portal: gates receding on the left, the step on the right. */
export function Frame({ children }: { children: ReactNode }) {
  return (
    <div className="grid min-h-screen lg:grid-cols-[1fr_560px]">
      <aside className="relative hidden overflow-hidden bg-[#101a33] p-12 text-white lg:flex lg:flex-col lg:justify-between">
        <svg
          viewBox="0 0 800 900"
          className="absolute inset-0 size-full opacity-[0.16]"
          preserveAspectRatio="xMidYMid slice"
          aria-hidden
        >
          <g fill="none" stroke="#8fb0ff" strokeWidth="2">
            {Array.from({ length: 9 }, (_, step) => (
              <g key={step} transform={`translate(400 560) scale(${0.35 + step * 0.42})`}>
                <path d="M-170 -70h340M-145 -34h290M-112 -70v210M112 -70v210" vectorEffect="non-scaling-stroke" />
              </g>
            ))}
          </g>
        </svg>
        <div className="relative flex items-center gap-3">
          <Mark size={30} />
          <span className="text-xl font-semibold tracking-tight">Sekisho</span>
          <span className="text-sm text-white/70">関所</span>
        </div>
        <div className="relative max-w-lg">
          <p className="text-[34px] leading-[1.25] font-semibold tracking-tight text-balance">{m.tag}</p>
          <ul className="mt-6 flex flex-col gap-2.5 text-base text-[#c9d4ee]">
            {[m.point1, m.point2, m.point3].map((point) => (
              <li key={point} className="flex gap-3">
                <span className="mt-2.5 h-px w-5 shrink-0 bg-[#ffb454]" />
                {point}
              </li>
            ))}
          </ul>
        </div>
      </aside>
      <main className="flex flex-col justify-center bg-surface px-10 py-10 sm:px-20">
        <div className="mx-auto w-full max-w-sm">
          {children}
          <div role="group" aria-label={m.language} className="mt-10 flex gap-3 text-xs">
            <button
              type="button"
              lang="ja"
              onClick={() => setLocale('ja')}
              className="rounded text-ink-2 underline-offset-4 hover:underline"
            >
              日本語
            </button>
            <button
              type="button"
              lang="en"
              onClick={() => setLocale('en')}
              className="rounded text-ink-2 underline-offset-4 hover:underline"
            >
              English
            </button>
          </div>
        </div>
      </main>
    </div>
  )
}
