import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { ErrorNote } from '../ui/ErrorNote.tsx'
import { Skeleton } from '../ui/Skeleton.tsx'

type Props<T> = {
  query: UseQueryResult<T>
  children: (data: T) => ReactNode
  skeleton?: string
  /** Something is not there yet without which what is shown would move once more, such as names for ids. */
  isWaiting?: boolean
}

/** One query, one section: it fails alone and the rest of the page works on. Old data stays while new data loads. */
export function Section<T>({ query, children, skeleton = 'h-40', isWaiting = false }: Props<T>) {
  if (query.data !== undefined && !isWaiting) return children(query.data)
  if (query.isError) {
    return (
      <div className="p-4">
        <ErrorNote error={query.error} onRetry={() => void query.refetch()} />
      </div>
    )
  }
  return (
    <div className="p-4" aria-busy>
      <Skeleton className={skeleton} />
    </div>
  )
}
