// An event on its way to sockets of one reactor: encoded at most once a format, and where several sockets want it, lying in
// one counted buffer of the core that all of them send from.
import Inbox
import Reactor

struct OutgoingEvent: ~Copyable {
    let event: LogEvent
    private let reactor: Reactor
    /// A longer frame goes to each socket by itself, because those that agreed to compression get it compressed.
    private let sharedBytesMax: Int
    private var encodings: [[UInt8]?] = [nil, nil]
    private var protoFrame: SharedFrame?
    private var jsonFrame: SharedFrame?

    /// - Parameter sockets: to how many it may go; a copy is less work than a frame for one.
    init(_ event: LogEvent, sockets: Int, on reactor: Reactor, deflate: DeflateSettings) {
        self.event = event
        self.reactor = reactor
        sharedBytesMax = sockets < 2 ? -1 : deflate.isOn ? deflate.thresholdBytes - 1 : .max
    }

    /// Nil if the log holds what this node can't read.
    mutating func send(to connection: ConnectionID, in format: FrameFormat) -> SendOutcome? {
        guard let bytes = bytes(format) else { return nil }
        return bytes.withUnsafeBytes { bytes in
            guard bytes.count <= sharedBytesMax else { return reactor.send(bytes, as: format.messageKind, to: connection) }
            switch format {
            case .proto: return Self.send(bytes, &protoFrame, as: .binary, to: connection, on: reactor)
            case .json: return Self.send(bytes, &jsonFrame, as: .text, to: connection, on: reactor)
            }
        }
    }

    mutating func bytes(_ format: FrameFormat) -> [UInt8]? {
        if encodings[format.rawValue] == nil { encodings[format.rawValue] = format.encode(event) }
        return encodings[format.rawValue]
    }

    private static func send(
        _ bytes: UnsafeRawBufferPointer, _ frame: inout SharedFrame?, as kind: MessageKind, to connection: ConnectionID,
        on reactor: Reactor
    ) -> SendOutcome {
        if frame == nil { frame = reactor.makeFrame(bytes, as: kind) }
        switch frame {
        case let frame?: return reactor.send(frame, to: connection)
        case nil: return reactor.send(bytes, as: kind, to: connection)
        }
    }
}
