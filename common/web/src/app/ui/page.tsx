/** A screen: its heading, which takes the focus when one arrives, what is on it, and its one action at the thumb. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { href } from '../router';
import { shellWords } from '../words';
import { Icon } from './icons';

export interface PageProps {
  title: string;
  /** Where 'back' leads; none on the first screen. */
  back?: readonly string[] | undefined;
  /** Where this is: below the heading. */
  under?: string | undefined;
  /** Beside the heading. */
  aside?: ComponentChildren | undefined;
  children: ComponentChildren;
  /** Stays at the lower edge, above the navigation. */
  action?: ComponentChildren | undefined;
  wide?: boolean | undefined;
}

/** One screen. */
export function Page(props: PageProps): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  const words = shellWords();
  useEffect(() => {
    document.title = `${props.title} · Plugside`;
  }, [props.title]);
  useEffect(() => {
    if (moved) heading.current?.focus({ preventScroll: true });
    moved = true;
    scrollTo(0, 0);
  }, []);
  return (
    <div class={props.wide ? 'page page-wide' : 'page'}>
      <header class="page-head">
        {props.back ? (
          <a class="page-back" href={href(...props.back)} aria-label={words.back}>
            <Icon name="back" />
          </a>
        ) : null}
        <div class="page-title">
          <h1 ref={heading} tabIndex={-1} title={props.title}>
            {props.title}
          </h1>
          {props.under ? <p class="muted small">{props.under}</p> : null}
        </div>
        {props.aside ? <div class="page-aside">{props.aside}</div> : null}
      </header>
      <div class="page-content">{props.children}</div>
      {props.action ? <div class="page-action">{props.action}</div> : null}
    </div>
  );
}

/** The first screen leaves the focus where the browser puts it. */
let moved = false;
