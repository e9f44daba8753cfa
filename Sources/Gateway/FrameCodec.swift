// Frames between bytes and the contract, in both subprotocols.
//
// An event of the log is not decoded on its way to a protobuf client: its payload is the Event without seq and at, so
// those two are written in front of it.
import Contract
import Foundation
import Inbox
import Reactor
import ServiceKit
import SwiftProtobuf

enum FrameFormat: Int, CaseIterable, Sendable {
    case proto
    case json

    /// In the order in which the server prefers them, which is that of the raw values.
    static let subprotocols = ["ringway.v1.proto", "ringway.v1.json"]

    var messageKind: MessageKind { self == .proto ? .binary : .text }

    /// Nil for bytes that are no frame.
    func decode(_ payload: UnsafeRawBufferPointer) -> Ringway_V1_ClientFrame.OneOf_Frame? {
        let bytes = [UInt8](payload)
        switch self {
        case .proto:
            return try? Ringway_V1_ClientFrame(serializedBytes: bytes).frame
        case .json:
            var options = JSONDecodingOptions()
            options.ignoreUnknownFields = true
            guard let frame = try? Ringway_V1_ClientFrame(jsonUTF8Bytes: bytes, options: options).frame else { return nil }
            return JSONNames.areUnique(in: bytes) ? frame : nil
        }
    }

    func encode(_ frame: Ringway_V1_ServerFrame.OneOf_Frame) -> [UInt8] {
        let message = Ringway_V1_ServerFrame.with { $0.frame = frame }
        // Encoding fails only for google.protobuf.Any and for dates outside of years 1 to 9999; there are none.
        switch self {
        case .proto: return (try? message.serializedBytes()) ?? []
        case .json: return (try? message.jsonAnswer()) ?? []
        }
    }

    /// The reply to a call whose answer is JSON already. A client of JSON gets that as it is.
    func encodeReply(to id: String, _ json: ArraySlice<UInt8>) throws -> [UInt8] {
        switch self {
        case .proto:
            let answer = try Google_Protobuf_Struct(jsonUTF8Bytes: Array(json))
            return encode(.reply(.with { $0.id = id; $0.json = answer }))
        case .json:
            // {"reply":{"id":"..."}}, with one more field before its end.
            var frame = encode(.reply(.with { $0.id = id }))
            let end = [frame.removeLast(), frame.removeLast()]
            frame += #","json":"#.utf8
            frame += json
            frame += end
            return frame
        }
    }

    /// Nil if the log holds what this node can't read, which only a JSON client makes it notice.
    func encode(_ event: LogEvent) -> [UInt8]? {
        switch self {
        case .proto: return Self.splice(event)
        case .json: return (try? event.decoded()).map { encode(.event($0)) }
        }
    }

    /// ServerFrame { event { seq, at { seconds, nanos }, payload... } } by hand (protobuf encoding, wire types 0 and 2).
    private static func splice(_ event: LogEvent) -> [UInt8] {
        let at = Google_Protobuf_Timestamp(microsecondsOf: event.at)
        var head: [UInt8] = []
        head.reserveCapacity(32)
        head.append(0x08)
        head.appendVarint(UInt64(bitPattern: event.seq))
        var time: [UInt8] = [0x08]
        time.appendVarint(UInt64(bitPattern: at.seconds))
        if at.nanos != 0 {
            time.append(0x10)
            time.appendVarint(UInt64(at.nanos))
        }
        head.append(0x12)
        head.appendVarint(UInt64(time.count))
        head.append(contentsOf: time)

        var frame: [UInt8] = [0x12]
        frame.reserveCapacity(head.count + event.payload.count + 8)
        frame.appendVarint(UInt64(head.count + event.payload.count))
        frame.append(contentsOf: head)
        frame.append(contentsOf: event.payload)
        return frame
    }
}

extension [UInt8] {
    fileprivate mutating func appendVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }
}
