// An entry of a log as it lies in Postgres: the payload is a serialized ringway.v1.Event without seq and at, so
// that a reader puts those two in front of bytes that it never decodes.
import Contract
import Foundation
import ServiceKit
import SwiftProtobuf

public struct LogEvent: Sendable {
    public let seq: Int64
    public let at: Date
    public let payload: [UInt8]

    public init(seq: Int64, at: Date, payload: [UInt8]) {
        self.seq = seq
        self.at = at
        self.payload = payload
    }

    /// The whole event. Throws only if the log holds what this node can't read.
    public func decoded() throws -> Ringway_V1_Event {
        var event = try Ringway_V1_Event(serializedBytes: payload)
        event.seq = seq
        event.at = Google_Protobuf_Timestamp(microsecondsOf: at)
        return event
    }
}
