import { Check, Copy } from 'lucide-react'
import { useState } from 'react'
import { messages } from '../app/i18n.ts'
import { Button } from './Button.tsx'

const m = messages({ copied: { en: 'Copied', ja: 'コピーしました' } })

/** With `children` a full button, without a small icon. */
export function CopyButton({ text, label, children }: { text: string; label: string; children?: string }) {
  const [copied, setCopied] = useState(false)
  const copy = async () => {
    await navigator.clipboard.writeText(text)
    setCopied(true)
    setTimeout(() => setCopied(false), 2_000)
  }
  const icon = copied ? <Check size={14} className="text-ok" aria-hidden /> : <Copy size={14} aria-hidden />
  return (
    <Button
      variant={children ? 'secondary' : 'ghost'}
      size={children ? 'md' : 'sm'}
      aria-label={children ? undefined : copied ? m.copied : label}
      onPress={() => void copy()}
      className={children ? '' : 'px-1.5'}
    >
      {icon}
      {children && (copied ? m.copied : children)}
    </Button>
  )
}
