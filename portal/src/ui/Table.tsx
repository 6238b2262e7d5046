import type { ReactNode } from 'react'
import { messages } from '../app/i18n.ts'
import { cx } from './cx.ts'

const m = messages({
  actions: { en: 'Actions', ja: '操作' },
})

export type TableColumn<T> = {
  id: string
  header: string
  cell: (row: T) => ReactNode
  align?: 'right'
  width?: string
  hideHeader?: boolean
}

/** The last column, of buttons; its header is for screen readers. A getter, because the language may change. */
export const actionsColumn = {
  id: 'actions',
  get header() {
    return m.actions
  },
  hideHeader: true,
  align: 'right',
} as const

type Props<T> = {
  label: string
  rows: T[]
  columns: TableColumn<T>[]
  rowId: (row: T) => string
  muted?: (row: T) => boolean
  highlighted?: (row: T) => boolean
}

/** A plain table for lists of tens or hundreds; thousands belong into DataGrid. */
export function Table<T>({ label, rows, columns, rowId, muted, highlighted }: Props<T>) {
  return (
    <div className="overflow-x-auto">
      <table className="w-full text-sm" aria-label={label}>
        <thead className="border-y border-line bg-band text-xs text-ink-2 first:border-t-0">
          <tr>
            {columns.map((column) => (
              <th
                key={column.id}
                scope="col"
                className={cx(
                  'h-9 px-2.5 font-medium whitespace-nowrap first:pl-4 last:pr-4',
                  column.align === 'right' ? 'text-right' : 'text-left',
                  column.width,
                )}
              >
                {column.hideHeader ? <span className="sr-only">{column.header}</span> : column.header}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr
              key={rowId(row)}
              className={cx(
                'border-b border-line/60 last:border-0 hover:bg-band',
                muted?.(row) && 'text-ink-3',
                highlighted?.(row) && 'bg-accent-soft',
              )}
            >
              {columns.map((column) => (
                <td
                  key={column.id}
                  className={cx('h-[38px] px-2.5 py-1 first:pl-4 last:pr-4', column.align === 'right' && 'text-right')}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
