/** What the graph gives its cards: the store, and who is focused, selected or looked at. */
import { createContext } from "react";
import { CampaignStore } from "../store";

export interface BoardState {
  readonly store: CampaignStore;
  /** The card that the Tab key leads to. */
  readonly focusable: string | null;
  readonly selected: string | null;
  readonly select: (id: string | null) => void;
  readonly hover: (id: string | null) => void;
  readonly focused: (id: string) => void;
  readonly register: (id: string, el: HTMLElement | null) => void;
}

const nothing = (): void => undefined;

export const Board = createContext<BoardState>({
  store: new CampaignStore(),
  focusable: null,
  selected: null,
  select: nothing,
  hover: nothing,
  focused: nothing,
  register: nothing,
});
