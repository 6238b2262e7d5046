import { Skeleton } from '../ui/Skeleton.tsx'

export function PagePending() {
  return (
    <div className="grid gap-4 p-5" aria-busy>
      <Skeleton className="h-9 w-56" />
      <Skeleton className="h-40" />
      <Skeleton className="h-80" />
    </div>
  )
}
