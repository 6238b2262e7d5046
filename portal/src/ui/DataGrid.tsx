import { useVirtualizer } from '@tanstack/react-virtual'
import { ArrowDown, ArrowUp } from 'lucide-react'
import { type CSSProperties, type KeyboardEvent, memo, type ReactNode, useId, useRef, useState } from 'react'
import { cx } from './cx.ts'

export type GridColumn<T> = {
  id: string
  header: string
  /** Pixels; with `grow` the least width, and the share of what is left. */
  width: number
  grow?: number
  cell: (row: T) => ReactNode
  sortable?: boolean
  align?: 'right'
}
export type Sort = { id: string; desc: boolean }

type Props<T> = {
  label: string
  rows: T[]
  columns: GridColumn<T>[]
  sort: Sort
  onSort: (sort: Sort) => void
  onOpen: (row: T) => void
  empty: ReactNode
}

const rowHeight = 38

// Header and rows are separate grids; equal tracks and an equal least width keep them aligned.
const track = ({ width, grow }: { width: number; grow?: number }) =>
  grow ? `minmax(${width}px, ${grow}fr)` : `${width}px`

const steps: Record<string, number> = {
  ArrowDown: 1,
  ArrowUp: -1,
  PageDown: 15,
  PageUp: -15,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
}

/** Thousands of rows: only those in sight exist. One tab stop; arrows move the active row, Enter opens it. */
export function DataGrid<T>({ label, rows, columns, sort, onSort, onOpen, empty }: Props<T>) {
  const scroller = useRef<HTMLDivElement>(null)
  const prefix = useId()
  const [active, setActive] = useState(0)
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 6,
    scrollPaddingStart: rowHeight,
  })
  const current = Math.min(active, rows.length - 1)
  const least = columns.reduce((sum, column) => sum + column.width, 12)

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget) return
    const step = steps[event.key]
    const row = rows[current]
    if (step !== undefined) {
      event.preventDefault()
      const next = Math.max(0, Math.min(rows.length - 1, current + step))
      setActive(next)
      virtualizer.scrollToIndex(next)
    } else if (event.key === 'Enter' && row) onOpen(row)
  }

  return (
    <div
      ref={scroller}
      role="grid"
      aria-label={label}
      aria-rowcount={rows.length + 1}
      aria-activedescendant={rows.length > 0 ? `${prefix}${current}` : undefined}
      tabIndex={0}
      onKeyDown={onKeyDown}
      className="relative min-h-0 flex-1 overflow-auto overscroll-contain rounded-b-xl focus-visible:outline-offset-[-2px]"
      style={{ '--cols': columns.map(track).join(' '), '--least': `${least}px` } as CSSProperties}
    >
      <div role="rowgroup" className="sticky top-0 z-10 min-w-(--least)">
        <div
          role="row"
          aria-rowindex={1}
          className="grid h-9 grid-cols-(--cols) items-center border-b border-line bg-band px-1.5 text-xs font-medium text-ink-2"
        >
          {columns.map((column) => (
            <HeaderCell key={column.id} column={column} sort={sort} onSort={onSort} />
          ))}
        </div>
      </div>
      {rows.length === 0 ? (
        empty
      ) : (
        <div role="rowgroup" className="relative min-w-(--least)" style={{ height: virtualizer.getTotalSize() }}>
          {virtualizer.getVirtualItems().map((item) => {
            const row = rows[item.index]
            if (row === undefined) return null
            return (
              <div
                // By place: another row in the same place is other text in the same elements, which costs a fraction.
                key={item.index}
                id={`${prefix}${item.index}`}
                role="row"
                aria-rowindex={item.index + 2}
                aria-selected={item.index === current}
                onClick={() => setActive(item.index)}
                onDoubleClick={() => onOpen(row)}
                className={cx(
                  'absolute inset-x-0 top-0 grid h-[38px] grid-cols-(--cols) items-center border-b border-line/70 px-1.5 text-sm hover:bg-band',
                  item.index === current && 'shadow-[inset_2px_0_0_var(--accent)]',
                )}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <Cells row={row} columns={columns} />
              </div>
            )
          })}
        </div>
      )}
    </div>
  )
}

type CellsProps<T> = { row: T; columns: GridColumn<T>[] }

/** A row that only moves keeps its cells. */
const Cells = memo(function Cells<T>({ row, columns }: CellsProps<T>) {
  return columns.map((column) => (
    <div
      key={column.id}
      role="gridcell"
      className={cx('min-w-0 truncate px-2.5', column.align === 'right' && 'text-right')}
    >
      {column.cell(row)}
    </div>
  ))
}) as <T>(props: CellsProps<T>) => ReactNode

function HeaderCell<T>({ column, sort, onSort }: { column: GridColumn<T>; sort: Sort; onSort: (sort: Sort) => void }) {
  const sorted = sort.id === column.id
  const Arrow = sort.desc ? ArrowDown : ArrowUp
  return (
    <div
      role="columnheader"
      aria-sort={sorted ? (sort.desc ? 'descending' : 'ascending') : column.sortable ? 'none' : undefined}
      className={cx('min-w-0 px-2.5', column.align === 'right' && 'text-right')}
    >
      {column.sortable ? (
        <button
          type="button"
          className="inline-flex max-w-full items-center gap-1 truncate rounded hover:text-ink"
          onClick={() => onSort({ id: column.id, desc: sorted && !sort.desc })}
        >
          {column.header}
          {sorted && <Arrow size={12} aria-hidden />}
        </button>
      ) : (
        column.header
      )}
    </div>
  )
}
