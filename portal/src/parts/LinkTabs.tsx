import type { ReactNode } from 'react'
import { messages } from '../app/i18n.ts'

const m = messages({ sections: { en: 'Sections', ja: 'セクション' } })

/** The row of links under a page title; each tab has an address of its own. */
export function LinkTabs({ children }: { children: ReactNode }) {
  return (
    <nav aria-label={m.sections} className="-mb-1 flex gap-1 overflow-x-auto border-b border-line">
      {children}
    </nav>
  )
}
