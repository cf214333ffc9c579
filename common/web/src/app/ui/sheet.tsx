/**
 * Sheets: the platform's own dialog, from below on a phone and in the middle on a desk. Escape, a tap beside it and
 * its own button close it; focus is kept inside and goes back to where it came from.
 */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { shellWords } from '../words';
import { Button, type ButtonKind } from './button';

export interface SheetProps {
  title: string;
  open: boolean;
  onClose: () => void;
  children: ComponentChildren;
  /** Buttons at its lower end. */
  actions?: ComponentChildren | undefined;
  wide?: boolean | undefined;
}

/** A sheet over the screen; nothing of it is there while it is closed. */
export function Sheet(props: SheetProps): JSX.Element | null {
  return props.open ? <OpenSheet {...props} /> : null;
}

function OpenSheet(props: SheetProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  const words = shellWords();
  useEffect(() => {
    const before = document.activeElement;
    const shown = dialog.current;
    shown?.showModal();
    return () => {
      shown?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={props.wide ? 'sheet sheet-wide' : 'sheet'}
      aria-labelledby={title}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) props.onClose();
      }}
    >
      <div class="sheet-body">
        <header class="sheet-head">
          <h2 id={title}>{props.title}</h2>
          <Button kind="quiet" icon="close" onPress={props.onClose}>
            {words.close}
          </Button>
        </header>
        <div class="sheet-content">{props.children}</div>
        {props.actions ? <footer class="sheet-actions">{props.actions}</footer> : null}
      </div>
    </dialog>
  );
}

/** Asks once before something that cannot be taken back. */
export function Confirm(props: {
  title: string;
  open: boolean;
  onClose: () => void;
  onConfirm: () => void;
  confirm: string;
  kind?: ButtonKind | undefined;
  busy?: boolean | undefined;
  children: ComponentChildren;
}): JSX.Element {
  const words = shellWords();
  return (
    <Sheet
      title={props.title}
      open={props.open}
      onClose={props.onClose}
      actions={
        <>
          <Button onPress={props.onClose}>{words.cancel}</Button>
          <Button kind={props.kind ?? 'danger'} busy={props.busy} onPress={props.onConfirm}>
            {props.confirm}
          </Button>
        </>
      }
    >
      {props.children}
    </Sheet>
  );
}
