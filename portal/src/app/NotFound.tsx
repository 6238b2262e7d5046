import { Link } from '@tanstack/react-router'
import { MapPinOff } from 'lucide-react'
import { EmptyState } from '../ui/EmptyState.tsx'
import { messages } from './i18n.ts'

const m = messages({
  title: { en: 'There is nothing at this address.', ja: 'このアドレスには何もありません。' },
  home: { en: 'Go to the overview', ja: '概要へ移動' },
})

export function NotFound() {
  return (
    <EmptyState
      icon={<MapPinOff size={20} aria-hidden />}
      title={m.title}
      action={
        <Link to="/" className="text-sm font-medium text-accent hover:underline">
          {m.home}
        </Link>
      }
    />
  )
}
