// A request message out of its JSON, alike at every door that takes JSON, and which field is at fault where it is none.
// Fields that are not known are ignored, as a newer client's may be. A value that is not known is refused: whoever names
// one means something, and would be told that it was done. No I/O.
import Contract
import Foundation
import SwiftProtobuf

public struct JSONRequestError: Error {
    public let message: String
    /// As the .proto files name it; nil where no one field is at fault, or too many had to be looked at.
    public let field: String?

    init(_ message: String, field: String? = nil) {
        self.message = message
        self.field = field
    }
}

extension Message {
    /// - Parameter nestingMax: bounds the parser's recursion, in ignored fields too.
    public init(request json: [UInt8], nestingMax: Int = 16) throws(JSONRequestError) {
        var options = JSONDecodingOptions()
        options.messageDepthLimit = nestingMax
        do {
            try self.init(jsonUTF8Bytes: json, options: options)
        } catch {
            if let field = JSONFaults<Self>(options).first(in: json) {
                throw JSONRequestError("\(field) must be a value of its type", field: field)
            }
            options.ignoreUnknownFields = true
            self = try Self.lenient(json, options)
        }
        guard JSONNames.areUnique(in: json) else { throw JSONRequestError("the body has a field twice in one object") }
    }

    private static func lenient(_ json: [UInt8], _ options: JSONDecodingOptions) throws(JSONRequestError) -> Self {
        do {
            return try Self(jsonUTF8Bytes: json, options: options)
        } catch JSONDecodingError.messageDepthLimit {
            throw JSONRequestError("the body is nested more than \(options.messageDepthLimit) deep")
        } catch JSONDecodingError.invalidUTF8 {
            throw JSONRequestError("the body is not UTF-8")
        } catch {
            throw JSONRequestError("the body is not this request as JSON")
        }
    }
}

/// Finds the field whose value no decoder of the message takes, by decoding each alone.
private struct JSONFaults<Request: Message> {
    /// More than any request has fields. Whoever sends more of them is not worth the work.
    private static var triesMax: Int { 64 }

    private let options: JSONDecodingOptions
    private var tries = 0

    init(_ options: JSONDecodingOptions) {
        self.options = options
    }

    consuming func first(in json: [UInt8]) -> String? {
        guard let members = try? JSONSerialization.jsonObject(with: Data(json)) as? [String: Any] else { return nil }
        return first(of: members, under: [])?.map(Self.protoName).joined(separator: ".")
    }

    /// The innermost first: an object is at fault when none of its members is.
    private mutating func first(of members: [String: Any], under path: [String]) -> [String]? {
        for name in members.keys.filter(Self.couldBeOurs).sorted() {
            let inner = path + [name]
            if let nested = members[name] as? [String: Any], let fault = first(of: nested, under: inner) { return fault }
            if refuses(members[name] as Any, at: inner) { return inner }
        }
        return nil
    }

    private mutating func refuses(_ value: Any, at path: [String]) -> Bool {
        tries += 1
        guard tries <= Self.triesMax else { return false }
        let alone = path.reversed().reduce(value) { [$1: $0] }
        guard let json = try? JSONSerialization.data(withJSONObject: alone) else { return false }
        do {
            _ = try Request(jsonUTF8Bytes: json, options: options)
            return false
        } catch JSONDecodingError.unknownField {
            return false
        } catch {
            return true
        }
    }

    /// The client's own text: only what could be a name of ours comes back.
    private static func couldBeOurs(_ name: String) -> Bool {
        1...32 ~= name.utf8.count && name.utf8.allSatisfy {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }

    /// "newPassword" as "new_password".
    private static func protoName(_ name: String) -> String {
        name.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
    }
}
