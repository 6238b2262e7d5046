import { useEffect, useState } from 'react'
import { createStore } from './store.ts'

/** Forms that hold something nobody has saved. However one leaves them, one is asked first. */
const edited = createStore<ReadonlySet<symbol>>(new Set())
/** The question that is being asked: `true` leaves. */
const question = createStore<((leave: boolean) => void) | undefined>(undefined)

export const useLeaveQuestion = question.use
export const useIsEdited = () => edited.use().size > 0

// A page with this listener is kept out of the browser's back-forward cache, so it is there only while needed.
const onBeforeUnload = (event: BeforeUnloadEvent) => event.preventDefault()

function setEdited(forms: ReadonlySet<symbol>) {
  edited.set(forms)
  if (forms.size > 0) addEventListener('beforeunload', onBeforeUnload)
  else removeEventListener('beforeunload', onBeforeUnload)
}

function mark(form: symbol, isEdited: boolean) {
  if (edited.get().has(form) === isEdited) return
  const forms = new Set(edited.get())
  if (isEdited) forms.add(form)
  else forms.delete(form)
  setEdited(forms)
}

/** What was edited is saved or given up: nothing asks about it any more. */
export const forgetEdits = () => setEdited(new Set())

/** Asks when something is edited; at once `true` when nothing is. */
export async function mayLeave(): Promise<boolean> {
  if (edited.get().size === 0) return true
  question.get()?.(false)
  const leave = await new Promise<boolean>((answer) => question.set(answer))
  question.set(undefined)
  if (leave) forgetEdits()
  return leave
}

export async function leave(action: () => void) {
  if (await mayLeave()) action()
}

/** A form says whether it is edited; what it gets closes it, after asking when need be. */
export function useUnsaved(isEdited: boolean, onClose: () => void) {
  const [form] = useState(() => Symbol('form'))
  useEffect(() => {
    mark(form, isEdited)
    return () => mark(form, false)
  }, [form, isEdited])
  return () => void leave(onClose)
}
