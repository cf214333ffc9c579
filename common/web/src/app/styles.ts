/** The look of the shell and of the driver's screens, in the order in which it counts. */
import './theme.css';
import './ui/frame.css';
import './ui/parts.css';
import './ui/forms.css';
import './ui/over.css';
import './driver/driver.css';
