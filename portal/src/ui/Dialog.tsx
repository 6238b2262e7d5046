import type { ReactNode } from 'react'
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from 'react-aria-components'
import { cx } from './cx.ts'

type Props = {
  title: ReactNode
  subtitle?: ReactNode
  onClose?: () => void
  children: ReactNode
  footer?: ReactNode
  role?: 'dialog' | 'alertdialog'
  wide?: boolean
}

export function Dialog({ title, subtitle, onClose, children, footer, role = 'dialog', wide = false }: Props) {
  return (
    <ModalOverlay
      isOpen
      isDismissable={onClose !== undefined}
      isKeyboardDismissDisabled={onClose === undefined}
      onOpenChange={(open) => !open && onClose?.()}
      className="fixed inset-0 z-50 grid place-items-center bg-black/40 p-4"
    >
      <Modal
        className={cx(
          'flex max-h-[90vh] w-full flex-col rounded-xl border border-line bg-raised shadow-pop',
          wide ? 'max-w-3xl' : 'max-w-lg',
        )}
      >
        <AriaDialog role={role} className="flex min-h-0 flex-col outline-none">
          <header className="border-b border-line px-5 py-4">
            <Heading slot="title" className="text-base font-semibold">
              {title}
            </Heading>
            {subtitle && <div className="text-sm text-ink-2">{subtitle}</div>}
          </header>
          <div className="min-h-0 flex-1 overflow-auto px-5 py-4">{children}</div>
          {footer && <footer className="flex justify-end gap-2 border-t border-line px-5 py-3">{footer}</footer>}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  )
}
