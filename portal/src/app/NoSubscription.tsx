import { CloudOff } from 'lucide-react'
import { Link } from '@tanstack/react-router'
import { EmptyState } from '../ui/EmptyState.tsx'
import { messages } from './i18n.ts'

const m = messages({
  title: { en: 'You have no role yet.', ja: 'まだロールが割り当てられていません。' },
  why: {
    en: 'Ask an owner to assign you one; this page fills itself then.',
    ja: '所有者にロールの割り当てを依頼してください。',
  },
  activate: { en: 'Roles that you can activate', ja: '有効化できるロール' },
})

/** Somebody who was invited, but may not see a single subscription. */
export function NoSubscription() {
  return (
    <EmptyState icon={<CloudOff size={20} aria-hidden />} title={m.title}>
      {m.why}{' '}
      <Link to="/my-roles" className="text-accent underline">
        {m.activate}
      </Link>
    </EmptyState>
  )
}
