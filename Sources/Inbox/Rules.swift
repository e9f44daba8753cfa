// What may be written to a log and asked of it, and the errors of this module. No I/O.
import Contract
import GRPCCore

enum InboxError: Error, Equatable {
    /// A field, as the .proto file names it, breaks its rule, whose text follows the name. Neither holds the value.
    case invalid(_ field: String, _ rule: String)
    case noLog
    case aheadOfHead(Int64)
}

public enum InboxRules {
    public static let textBytesMax = 16 * 1024
    public static let clientIDBytesMax = 64
    public static let readLimitDefault = 100
    public static let readLimitMax = 1000
    /// Of the payloads of a page. As JSON they may be six times that: a control character is six bytes there.
    public static let pageBytesMax = 256 << 10

    public enum SendDefect: Error, Sendable {
        case clientID
        case recipient
        case toOneself
        case emptyText
        case longText
        case nul

        public var message: String {
            switch self {
            case .clientID: "client_id must be 1 to \(clientIDBytesMax) bytes without NUL"
            case .recipient: "to must be a user's id"
            case .toOneself: "to must be someone else"
            case .emptyText: "body.text must not be empty"
            case .longText: "body.text must be at most \(textBytesMax) bytes"
            case .nul: "body.text must not contain NUL"
            }
        }

        /// As the .proto file names it.
        public var field: String {
            switch self {
            case .clientID: "client_id"
            case .recipient, .toOneself: "to"
            case .emptyText, .longText, .nul: "body.text"
            }
        }
    }

    /// Checked before anything else is done with a send.
    public static func check(_ send: Ringway_V1_Send, from sender: Int64) throws(SendDefect) {
        guard (1...clientIDBytesMax).contains(send.clientID.utf8.count), !send.clientID.utf8.contains(0) else {
            throw .clientID
        }
        guard send.to > 0 else { throw .recipient }
        guard send.to != sender else { throw .toOneself }
        guard !send.body.text.isEmpty else { throw .emptyText }
        guard send.body.text.utf8.count <= textBytesMax else { throw .longText }
        guard !send.body.text.utf8.contains(0) else { throw .nul }
    }
}
