/** The parts that every screen is put together from. */
export { Button, ButtonLink, type ButtonKind } from './button';
export { Check, Field, Form, Select } from './field';
export { Icon, type IconName } from './icons';
export { Badge, Card, Choice, Facts, List, Notice, Row, type Tone } from './parts';
export { Confirm, Sheet } from './sheet';
export { Empty, Failure, Loading } from './states';
export { Table, type Column } from './table';
export { Toasts, toast } from './toast';
export { Page } from './page';
