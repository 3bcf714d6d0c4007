/** Says that the picture is old, and how old, when a live campaign has fallen silent; and what Python complained of. */
import { useEffect, useState } from "react";
import { duration } from "../format";
import { type CampaignStore } from "../store";

export function StaleBadge({ store }: { store: CampaignStore }) {
  const [age, setAge] = useState<number | null>(store.staleFor());
  const [trouble, setTrouble] = useState(store.trouble);
  useEffect(() => {
    const look = (): void => {
      const silent = store.staleFor();
      setAge(silent === null ? null : Math.floor(silent));
      setTrouble(store.trouble);
    };
    const timer = setInterval(look, 1000);
    const release = store.subscribe("clock", look);
    look();
    return () => {
      clearInterval(timer);
      release();
    };
  }, [store]);
  return (
    <>
      {age !== null && (
        <span className="wb-stale" role="status">
          STALE · {duration(age)} old
        </span>
      )}
      {trouble && (
        <span className="wb-trouble" role="alert">
          {trouble}
        </span>
      )}
    </>
  );
}
