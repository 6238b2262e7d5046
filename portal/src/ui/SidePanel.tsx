import { X } from 'lucide-react'
import type { ReactNode } from 'react'
import { Button, Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components'
import { messages } from '../app/i18n.ts'
import { cx } from './cx.ts'

const m = messages({ close: { en: 'Close', ja: '閉じる' } })

type Props = {
  title: ReactNode
  subtitle?: ReactNode
  onClose: () => void
  children: ReactNode
  footer?: ReactNode
  wide?: boolean
}

/** Work on one thing while the page stays in sight. Escape and the shade close it. */
export function SidePanel({ title, subtitle, onClose, children, footer, wide = false }: Props) {
  return (
    <ModalOverlay
      isOpen
      isDismissable
      onOpenChange={(open) => !open && onClose()}
      className="fixed inset-0 z-40 flex justify-end bg-black/30"
    >
      <Modal
        className={cx(
          'h-full max-w-[94vw] border-l border-line bg-raised shadow-pop',
          wide ? 'w-[780px]' : 'w-[520px]',
        )}
      >
        <Dialog className="flex h-full flex-col outline-none">
          <header className="flex items-start justify-between gap-3 border-b border-line px-5 py-4">
            <div className="min-w-0">
              <Heading slot="title" className="truncate text-base font-semibold">
                {title}
              </Heading>
              {subtitle && <div className="text-sm text-ink-2">{subtitle}</div>}
            </div>
            <Button
              aria-label={m.close}
              onPress={onClose}
              className="grid size-8 shrink-0 place-items-center rounded-md text-ink-2 hover:bg-sunken"
            >
              <X size={16} aria-hidden />
            </Button>
          </header>
          <div className="min-h-0 flex-1 overflow-auto px-5 py-4">{children}</div>
          {footer && <footer className="flex justify-end gap-2 border-t border-line px-5 py-3">{footer}</footer>}
        </Dialog>
      </Modal>
    </ModalOverlay>
  )
}
