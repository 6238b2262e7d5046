import { type Asking, onStepUp } from '../api/stepUp.ts'
import { createStore } from './store.ts'

export type Question = { asked: Asking; approve: (approval: string) => void; refuse: (why: unknown) => void }

const questions = createStore<readonly Question[]>([])

onStepUp(
  (asked) =>
    new Promise((resolve, reject) => {
      const settle =
        <T>(how: (value: T) => void) =>
        (value: T) => {
          questions.set(questions.get().filter((other) => other !== question))
          how(value)
        }
      const question: Question = { asked, approve: settle(resolve), refuse: settle(reject) }
      questions.set([...questions.get(), question])
    }),
)

/** The request that the person is asked about: one after the other. */
export const useStepUp = () => questions.use()[0]
