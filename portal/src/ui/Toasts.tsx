import { CircleCheck } from 'lucide-react'
import { useToasts } from '../app/toast.ts'

export function Toasts() {
  const toasts = useToasts()
  return (
    <div
      role="status"
      aria-live="polite"
      className="pointer-events-none fixed right-5 bottom-5 z-[60] flex flex-col gap-2"
    >
      {toasts.map((toast) => (
        <div
          key={toast.id}
          className="flex items-center gap-2 rounded-lg border border-line bg-raised px-3.5 py-2.5 text-sm shadow-pop"
        >
          <CircleCheck size={16} className="shrink-0 text-ok" aria-hidden />
          {toast.text}
        </div>
      ))}
    </div>
  )
}
