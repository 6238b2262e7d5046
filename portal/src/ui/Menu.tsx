import type { ReactNode } from 'react'
import { Menu as AriaMenu, MenuItem, MenuTrigger, Popover } from 'react-aria-components'
import { cx } from './cx.ts'

export type MenuAction = { id: string; label: ReactNode; text: string; danger?: boolean; onAction: () => void }

/** `children` is the button that opens it. */
export function Menu({
  children,
  label,
  actions,
  header,
}: {
  children: ReactNode
  label: string
  actions: MenuAction[]
  header?: ReactNode
}) {
  return (
    <MenuTrigger>
      {children}
      <Popover placement="bottom end" className="min-w-48 rounded-lg border border-line bg-raised p-1 shadow-pop">
        {header}
        <AriaMenu aria-label={label} className="outline-none" items={actions}>
          {(action) => (
            <MenuItem
              textValue={action.text}
              onAction={action.onAction}
              className={cx(
                'flex cursor-default items-center gap-2 rounded px-2.5 py-1.5 text-sm outline-none focus:bg-accent-soft',
                action.danger && 'text-crit',
              )}
            >
              {action.label}
            </MenuItem>
          )}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  )
}
