// What a server answers, copied out of hiredis' tree; and a command as the bytes that go to the server.
import CRedis

public enum RedisReply: Sendable, Equatable {
    case null
    case integer(Int64)
    case status(String)
    case bytes([UInt8])
    case array([RedisReply])
    /// Inside an array only; as an answer it is thrown.
    case failure(RedisError)

    init(_ reply: UnsafePointer<redisReply>) {
        let reply = reply.pointee
        switch reply.type {
        case REDIS_REPLY_INTEGER:
            self = .integer(reply.integer)
        case REDIS_REPLY_STATUS:
            self = .status(Self.text(of: reply))
        case REDIS_REPLY_STRING:
            self = .bytes(Array(UnsafeRawBufferPointer(start: reply.str, count: reply.len)))
        case REDIS_REPLY_ARRAY:
            self = .array((0..<reply.elements).map { RedisReply(UnsafePointer(reply.element[$0]!)) })
        case REDIS_REPLY_ERROR:
            self = .failure(RedisError(serverSaid: Self.text(of: reply)))
        default:
            self = .null
        }
    }

    private static func text(of reply: redisReply) -> String {
        String(decoding: UnsafeRawBufferPointer(start: reply.str, count: reply.len), as: UTF8.self)
    }
}

/// A command in the server's own form.
public struct RedisCommand: Sendable {
    let wire: [UInt8]

    public init(_ arguments: [[UInt8]]) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(arguments.reduce(16) { $0 + $1.count + 16 })
        bytes.append(UInt8(ascii: "*"))
        bytes.append(contentsOf: String(arguments.count).utf8)
        bytes.append(contentsOf: [13, 10])
        for argument in arguments {
            bytes.append(UInt8(ascii: "$"))
            bytes.append(contentsOf: String(argument.count).utf8)
            bytes.append(contentsOf: [13, 10])
            bytes.append(contentsOf: argument)
            bytes.append(contentsOf: [13, 10])
        }
        wire = bytes
    }

    public init(_ words: String...) {
        self.init(words.map { Array($0.utf8) })
    }

    /// A script of the session's configuration.
    public init(_ script: RedisScript, in session: RedisSession, keys: [[UInt8]], _ arguments: [[UInt8]] = []) {
        guard let sum = session.sums[script] else { preconditionFailure("the script is not in the configuration") }
        self.init([Array("EVALSHA".utf8), sum, Array(String(keys.count).utf8)] + keys + arguments)
    }
}
