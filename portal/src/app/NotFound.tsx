import { Link } from '@tanstack/react-router'
import { MapPinOff } from 'lucide-react'
import { EmptyState } from '../ui/EmptyState.tsx'
import { Page } from '../ui/Page.tsx'
import { messages } from './i18n.ts'

const m = messages({
  title: { en: 'There is nothing at this address.', ja: 'このアドレスには何もありません。' },
  why: {
    en: 'The link may be old, or the resource was deleted.',
    ja: 'リンクが古いか、リソースが削除された可能性があります。',
  },
  home: { en: 'Go to the overview', ja: '概要へ移動' },
})

export function NotFound() {
  return (
    <Page title={m.title}>
      <EmptyState
        icon={<MapPinOff size={20} aria-hidden />}
        title={m.why}
        action={
          <Link to="/" className="text-sm font-medium text-accent hover:underline">
            {m.home}
          </Link>
        }
      />
    </Page>
  )
}
