import { Fragment, type ReactNode } from 'react'
import { I18nProvider } from 'react-aria-components'
import { localeTag, useLocale } from './i18n.ts'

/** Texts are read while rendering, so a new language renders everything anew, without a reload. */
export function LocaleBoundary({ children }: { children: ReactNode }) {
  const locale = useLocale()
  return (
    <I18nProvider locale={localeTag()}>
      <Fragment key={locale}>{children}</Fragment>
    </I18nProvider>
  )
}
