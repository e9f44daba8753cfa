// What a route is to a reader: from it and from the contract's comments scripts/openapi.py writes the API's description.
import Contract
import HTTPTypes
import ServiceKit
import SwiftProtobuf
import Synchronization

public struct RouteSummary: Encodable, Sendable, Equatable {
    public let method: String
    /// With its parameters in braces, e.g. "/v1/friends/{userId}".
    public let path: String
    /// The method that it calls, e.g. "ringway.v1.FriendshipService/RemoveFriend".
    public let rpc: String
    public let request: String
    public let answer: String
    /// Names that its query may have.
    public let query: [String]
    public let takesBody: Bool
    public let needsToken: Bool

    init<Request: Message, Answer: Message>(
        _ method: HTTPRequest.Method, _ path: PathTemplate, fill: (inout Request, Parameters) throws -> Void,
        answer: Answer.Type
    ) {
        self.method = method.rawValue
        self.path = path.text
        request = Request.protoMessageName
        self.answer = Answer.protoMessageName
        // In the contract every method has a request message of its own.
        let rpc = MethodTypes.all.first { $0.value.request.protoMessageName == Request.protoMessageName }?.key ?? ""
        self.rpc = rpc
        query = Self.lookups(path, fill)
        takesBody = method == .post || method == .patch || method == .put
        needsToken = AccessPolicy.methods[rpc] != .anyone
    }

    /// What a fill asks the query for, learned by letting it fill a message that goes nowhere.
    private static func lookups<Request: Message>(
        _ path: PathTemplate, _ fill: (inout Request, Parameters) throws -> Void
    ) -> [String] {
        let names = Names()
        var request = Request()
        let parameters = Parameters(path: path.parameters { _ in "1" }, query: [:], headers: [:]) { names.add($0) }
        try? fill(&request, parameters)
        return names.all
    }

    private final class Names: Sendable {
        private let names = Mutex<[String]>([])
        var all: [String] { names.withLock { $0 } }
        func add(_ name: String) { names.withLock { $0.append(name) } }
    }
}

extension PathTemplate {
    fileprivate func parameters(_ value: (String) -> Substring) -> [String: Substring] {
        var parameters: [String: Substring] = [:]
        for case .parameter(let name, _) in segments { parameters[name] = value(name) }
        return parameters
    }
}
