//! From where pictures come to the end.

use std::any::TypeId;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::BytesMut;
use ironrdp_cliprdr::pdu::{ClipboardFormat, ClipboardFormatId, FormatDataResponse};
use ironrdp_cliprdr::{CliprdrClient, CliprdrSvcMessages};
use ironrdp_connector::connection_activation::{ConnectionActivationFactory, ConnectionActivationState};
use ironrdp_connector::{ConnectionResult, Sequence as _};
use ironrdp_core::WriteBuf;
use ironrdp_dvc::DrdynvcClient;
use ironrdp_graphics::image_processing::PixelFormat;
use ironrdp_pdu::geometry::{InclusiveRectangle, Rectangle as _};
use ironrdp_pdu::input::fast_path::FastPathInput;
use ironrdp_pdu::mcs::decode_send_data_indication;
use ironrdp_pdu::rdp::capability_sets::InputFlags;
use ironrdp_pdu::rdp::headers::{ShareControlPdu, ShareDataPdu, decode_share_control};
use ironrdp_pdu::{Action, PduResult};
use ironrdp_session::image::DecodedImage;
use ironrdp_session::{ActiveStage, ActiveStageBuilder, ActiveStageOutput};
use ironrdp_svc::SvcProcessor as _;
use ironrdp_tokio::MovableTokioFramed;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::bounds::{Bounds, Judged};
use super::clipboard::{Clipboard, Said, windows_lines};
use super::hands::Hands;
use super::login::Framed;
use super::reasons;
use crate::line::{Line, write};
use crate::pump::{Ends, Note};
use crate::screen::Screen;
use crate::tile::Area;
use crate::view::Command;
use crate::{Broken, Exit, Input, MAX_CLIPBOARD, Pointer, Policy, Size};

/// For the machine to begin again after it has stopped, as for another size.
const AGAIN_TIME: Duration = Duration::from_secs(20);
/// The most that it says of other things meanwhile, in bytes.
const MOST_ASIDE: usize = 4 * MAX_CLIPBOARD;
/// That the text is not there any more ([MS-RDPECLIP] 2.2.5.2): type 5, failed, no bytes.
const NO_TEXT: [u8; 8] = [5, 0, 2, 0, 0, 0, 0, 0];

type Reader<S> = MovableTokioFramed<ReadHalf<TlsStream<S>>>;

/// Speaks with the machine until it is over.
pub(super) async fn run<S>(
    framed: Framed<S>,
    there: ConnectionResult,
    size: Size,
    policy: Policy,
    clipboard: Option<Clipboard>,
    ends: Ends,
) -> Result<Exit, Broken>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, early) = framed.into_inner();
    let (reader, writer) = tokio::io::split(stream);
    let reader = Reader::new_with_leftover(reader, early);
    let (line, queue) = Line::new();
    let Ends { screen, commands, notes } = ends;
    let session = Session::new(there, size, policy, clipboard, line, screen, notes);
    tokio::select! {
        ended = session.run(reader, commands) => ended,
        error = write(writer, queue) => Err(error.into()),
    }
}

struct Session {
    stage: ActiveStage,
    image: DecodedImage,
    size: Size,
    again: ConnectionActivationFactory,
    io_channel: u16,
    /// What it said of other things when it began again.
    aside: VecDeque<(Action, BytesMut)>,
    bounds: Bounds,
    policy: Policy,
    clipboard: Option<Clipboard>,
    /// What the viewer has in the clipboard, for when the machine asks.
    offered: Option<String>,
    /// The size that the viewer would like, until it can be asked for.
    wanted: Option<Size>,
    hands: Hands,
    line: Line,
    screen: Screen,
    notes: mpsc::Sender<Note>,
}

/// What comes of a message.
enum Then {
    On,
    Again,
    Over(Exit),
}

impl Session {
    fn new(
        there: ConnectionResult,
        size: Size,
        policy: Policy,
        clipboard: Option<Clipboard>,
        line: Line,
        screen: Screen,
        notes: mpsc::Sender<Note>,
    ) -> Session {
        let channel = |id| there.static_channels.get_channel_id_by_type_id(id);
        let bounds =
            Bounds::new(channel(TypeId::of::<CliprdrClient>()), channel(TypeId::of::<DrdynvcClient>()));
        let again = there.activation_factory.clone();
        let stage = ActiveStageBuilder {
            static_channels: there.static_channels,
            user_channel_id: there.user_channel_id,
            io_channel_id: there.io_channel_id,
            message_channel_id: there.message_channel_id,
            share_id: there.share_id,
            compression_type: there.compression_type,
            enable_server_pointer: there.enable_server_pointer,
            pointer_software_rendering: there.pointer_software_rendering,
        }
        .build();
        Session {
            stage,
            image: DecodedImage::new(PixelFormat::RgbA32, size.width(), size.height()),
            size,
            again,
            io_channel: there.io_channel_id,
            aside: VecDeque::new(),
            bounds,
            policy,
            clipboard,
            offered: None,
            wanted: None,
            hands: Hands::new(there.input_flags.contains(InputFlags::UNICODE)),
            line,
            screen,
            notes,
        }
    }

    async fn run<S>(
        mut self,
        mut reader: Reader<S>,
        mut commands: mpsc::Receiver<Command>,
    ) -> Result<Exit, Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        loop {
            if let Some((action, frame)) = self.aside.pop_front() {
                match self.message(action, &frame, None).await? {
                    Then::On => continue,
                    Then::Again => return Err(broken("it stops while it begins again")),
                    Then::Over(exit) => return Ok(exit),
                }
            }
            let then = tokio::select! {
                message = reader.read_pdu() => {
                    let received_at = reader.last_read_at();
                    match message {
                        Ok((action, frame)) => self.message(action, &frame, received_at).await?,
                        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                            Then::Over(Exit::Machine(None))
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Some(command) = commands.recv() => self.command(command).await?,
            };
            match then {
                Then::On => {}
                Then::Again => {
                    timeout(AGAIN_TIME, self.again(&mut reader))
                        .await
                        .map_err(|_| broken("the machine did not begin again in time"))??;
                }
                Then::Over(exit) => return Ok(exit),
            }
        }
    }

    async fn message(
        &mut self,
        action: Action,
        frame: &BytesMut,
        received_at: Option<ironrdp_core::MonotonicInstant>,
    ) -> Result<Then, Broken> {
        // It was asked for two sizes at once, and says twice that it has begun.
        if matches!(subject(action, frame, self.io_channel), Subject::Finishing) {
            return Ok(Then::On);
        }
        if matches!(action, Action::X224) {
            match self.bounds.judge(frame) {
                Judged::Taken => {}
                Judged::Dropped => return Ok(Then::On),
                Judged::DroppedText => {
                    if let Some(channel) = self.stage.get_svc_processor_mut::<CliprdrClient>() {
                        channel.process(&NO_TEXT).map_err(broken)?;
                    }
                    return Ok(Then::On);
                }
                Judged::TooMuch => return Err(broken("too much in a channel")),
            }
        }
        let (stage, image) = (&mut self.stage, &mut self.image);
        // What is half done is thrown away with the session.
        let read = AssertUnwindSafe(|| stage.process(image, action, frame, received_at));
        let outputs = catch_unwind(read).map_err(|_| broken("a message that cannot be read"))?;
        let outputs = outputs.map_err(|error| broken(reasons(&error)))?;
        self.show();
        for output in outputs {
            match output {
                ActiveStageOutput::ResponseFrame(frame) => self.line.say(frame)?,
                ActiveStageOutput::PointerDefault => self.screen.point(Pointer::Default),
                ActiveStageOutput::PointerHidden => self.screen.point(Pointer::Hidden),
                ActiveStageOutput::PointerBitmap(pointer) => self.screen.point(crate::pointer::image(
                    pointer.hotspot_x,
                    pointer.hotspot_y,
                    pointer.width,
                    pointer.height,
                    &pointer.bitmap_data,
                )),
                ActiveStageOutput::Terminate(reason) => {
                    return Ok(Then::Over(Exit::Machine(Some(reason.description()))));
                }
                ActiveStageOutput::DeactivateAll => return Ok(Then::Again),
                _ => {}
            }
        }
        self.clipboard().await?;
        if !self.screen.resizes() && self.stage.display_control_ready() == Some(true) {
            self.screen.can_resize();
            if let Some(size) = self.wanted.take() {
                self.resize(size)?;
            }
        }
        Ok(Then::On)
    }

    /// What has changed in the picture.
    fn show(&mut self) {
        let damage = self.stage.take_damage_regions();
        if damage.is_empty() {
            return;
        }
        let (image, size) = (&self.image, self.size);
        self.screen.draw(|picture| {
            let areas: Vec<Area> = damage.iter().filter_map(|region| area(size, region)).collect();
            for area in &areas {
                let stride = image.stride();
                let from = image.data().chunks_exact(stride.max(1)).skip(area.y.into());
                for (to, from) in picture.rows_mut(*area).zip(from) {
                    let pixels = from.chunks_exact(4).skip(area.x.into());
                    for (to, pixel) in to.iter_mut().zip(pixels) {
                        *to = u32::from_be_bytes([0, pixel[0], pixel[1], pixel[2]]);
                    }
                }
            }
            areas
        });
    }

    async fn command(&mut self, command: Command) -> Result<Then, Broken> {
        match command {
            Command::End => return Ok(Then::Over(Exit::Here)),
            Command::Resize(size) => self.resize(size)?,
            Command::Input(Input::Clipboard(text)) => self.paste(text).await?,
            Command::Input(input) => {
                let _ = self.notes.send(Note::Input).await;
                let events = self.hands.events(&input, self.size);
                for events in events.chunks(FastPathInput::MAX_EVENTS) {
                    let input = FastPathInput::new(events.to_vec()).map_err(broken)?;
                    self.line.say(ironrdp_core::encode_vec(&input).map_err(broken)?)?;
                }
            }
        }
        Ok(Then::On)
    }

    fn resize(&mut self, size: Size) -> Result<(), Broken> {
        if size == self.size {
            self.wanted = None;
            return Ok(());
        }
        match self.stage.encode_resize(size.width().into(), size.height().into(), None, None) {
            Some(frame) => self.line.say(frame.map_err(broken)?)?,
            None => self.wanted = Some(size),
        }
        Ok(())
    }

    async fn paste(&mut self, text: String) -> Result<(), Broken> {
        if !self.policy.paste || text.len() > MAX_CLIPBOARD {
            return Ok(());
        }
        let chars = text.chars().count();
        let _ = self.notes.send(Note::Clipboard { into_machine: true, chars }).await;
        self.offered = Some(text);
        self.on_channel(
            |channel, formats| {
                if channel.is_ready() { channel.initiate_copy(formats).map(Some) } else { Ok(None) }
            },
        )
    }

    /// Does something with the clipboard's channel, given the formats that are offered, and sends what comes of it.
    fn on_channel(
        &mut self,
        act: impl FnOnce(
            &mut CliprdrClient,
            &[ClipboardFormat],
        ) -> PduResult<Option<CliprdrSvcMessages<ironrdp_cliprdr::Client>>>,
    ) -> Result<(), Broken> {
        let formats: &[ClipboardFormat] = match self.offered {
            Some(_) => &[ClipboardFormat::new(ClipboardFormatId::CF_UNICODETEXT)],
            None => &[],
        };
        let Some(channel) = self.stage.get_svc_processor_mut::<CliprdrClient>() else { return Ok(()) };
        if let Some(messages) = act(channel, formats).map_err(broken)? {
            let frame = self.stage.process_svc_processor_messages(messages).map_err(broken)?;
            self.line.say(frame)?;
        }
        Ok(())
    }

    async fn clipboard(&mut self) -> Result<(), Broken> {
        for said in self.clipboard.as_ref().map(Clipboard::heard).unwrap_or_default() {
            match said {
                Said::Offer => {
                    self.on_channel(|channel, formats| channel.initiate_copy(formats).map(Some))?
                }
                Said::HasText if self.policy.copy => self.on_channel(|channel, _| {
                    if !channel.is_ready() {
                        return Ok(None);
                    }
                    channel.initiate_paste(ClipboardFormatId::CF_UNICODETEXT).map(Some)
                })?,
                Said::Text(text) if self.policy.copy && !text.is_empty() => {
                    let chars = text.chars().count();
                    // Nobody has the text before it is known that it left.
                    let _ = self.notes.send(Note::Clipboard { into_machine: false, chars }).await;
                    self.screen.copied(&text);
                }
                Said::Wants { text } => {
                    let offered = self.offered.as_deref().filter(|_| text).map(windows_lines);
                    let response = match offered {
                        Some(text) => FormatDataResponse::new_unicode_string(&text),
                        None => FormatDataResponse::new_error(),
                    };
                    self.on_channel(|channel, _| channel.submit_format_data(response).map(Some))?;
                }
                Said::HasText | Said::Text(_) => {}
            }
        }
        Ok(())
    }

    /// The machine has stopped, and begins again with what may be another size ([MS-RDPBCGR] 1.3.1.3). Its channels know
    /// nothing of that: what they say meanwhile is set aside.
    async fn again<S>(&mut self, reader: &mut Reader<S>) -> Result<(), Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut sequence = self.again.create();
        let mut said = WriteBuf::new();
        let mut bytes_aside = 0;
        loop {
            said.clear();
            let stepped = if sequence.next_pdu_hint().is_none() {
                sequence.step_no_input(&mut said)
            } else {
                let (action, frame) = reader.read_pdu().await?;
                let has_begun = !matches!(
                    sequence.connection_activation_state(),
                    ConnectionActivationState::CapabilitiesExchange
                );
                match subject(action, &frame, sequence.io_channel_id()) {
                    // Of a beginning that was given up for another one.
                    Subject::Finishing if !has_begun => continue,
                    Subject::Beginning | Subject::Finishing => {}
                    // It was asked for yet another size meanwhile: nothing of this one is to come.
                    Subject::Stop => {
                        let io = sequence.io_channel_id();
                        self.aside.retain(|(action, frame)| {
                            !matches!(subject(*action, frame, io), Subject::Picture)
                        });
                        sequence = self.again.create();
                        continue;
                    }
                    // It has the size that is gone.
                    Subject::Picture if !has_begun => continue,
                    Subject::Picture | Subject::Other => {
                        bytes_aside += size_of::<BytesMut>() + frame.len();
                        if bytes_aside > MOST_ASIDE {
                            return Err(broken("too much before it has begun again"));
                        }
                        self.aside.push_back((action, frame));
                        continue;
                    }
                }
                let received_at = reader.last_read_at();
                let step = AssertUnwindSafe(|| sequence.step(&frame, received_at, &mut said));
                catch_unwind(step).map_err(|_| broken("a message that cannot be read"))?
            };
            stepped.map_err(|error| broken(reasons(&error)))?;
            self.line.say(said.filled().to_vec())?;
            if !sequence.state().is_terminal() {
                continue;
            }
            let ConnectionActivationState::Finalized {
                desktop_size,
                share_id,
                static_channel_chunk_size,
                enable_server_pointer,
                pointer_software_rendering,
                ..
            } = sequence.connection_activation_state()
            else {
                return Err(broken("the machine sends elsewhere"));
            };
            let size = Size::said(desktop_size.width, desktop_size.height);
            self.size = size.ok_or_else(|| broken("an impossible size"))?;
            self.image = DecodedImage::new(PixelFormat::RgbA32, self.size.width(), self.size.height());
            self.screen.resize(self.size);
            let (io, user) = (sequence.io_channel_id(), sequence.user_channel_id());
            self.io_channel = io;
            let begun = self.stage.reactivate(
                io,
                user,
                share_id,
                enable_server_pointer,
                pointer_software_rendering,
                static_channel_chunk_size,
            );
            return if begun { Ok(()) } else { Err(broken("impossible channels")) };
        }
    }
}

/// What a message is about.
enum Subject {
    /// That the machine begins again.
    Beginning,
    /// That it has begun: the last of what is said then.
    Finishing,
    /// That it stops.
    Stop,
    /// What is to be seen.
    Picture,
    /// Channels, and whatever else it says at any time.
    Other,
}

fn subject(action: Action, frame: &[u8], io_channel: u16) -> Subject {
    if action == Action::FastPath {
        return Subject::Picture;
    }
    let Ok(message) = decode_send_data_indication(frame) else { return Subject::Beginning };
    if message.channel_id != io_channel {
        return Subject::Other;
    }
    let said = match decode_share_control(message).map(|said| said.pdu) {
        Ok(ShareControlPdu::Data(said)) => said,
        Ok(ShareControlPdu::ServerDeactivateAll(_)) => return Subject::Stop,
        _ => return Subject::Beginning,
    };
    match said.share_data_pdu {
        ShareDataPdu::Synchronize(_) | ShareDataPdu::Control(_) | ShareDataPdu::FontMap(_) => {
            Subject::Finishing
        }
        ShareDataPdu::MonitorLayout(_) | ShareDataPdu::ServerSetErrorInfo(_) => Subject::Beginning,
        ShareDataPdu::Update(_) | ShareDataPdu::Pointer(_) => Subject::Picture,
        _ => Subject::Other,
    }
}

fn area(size: Size, region: &InclusiveRectangle) -> Option<Area> {
    Area::within(size, region.left, region.top, region.width(), region.height())
}

fn broken(what: impl ToString) -> Broken {
    Broken::Protocol(what.to_string())
}
