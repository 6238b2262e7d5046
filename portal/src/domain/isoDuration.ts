/** Minutes of an ISO 8601 duration of days, hours and minutes, as the server writes them; 0 for anything else. */
export function minutesOf(text: string) {
  const found = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:\d+S)?)?$/.exec(text)
  const [, days = '0', hours = '0', minutes = '0'] = found ?? []
  return Number(days) * 1440 + Number(hours) * 60 + Number(minutes)
}

export const isoDuration = (minutes: number) => `PT${minutes}M`
