// From a route to the call of the contract, and from its answer to JSON.
import Contract
import Foundation
import GRPCCore
import HTTPTypes
import NIOCore
import SwiftProtobuf
import Testing

@testable import HTTPAPI

@Suite struct TranscodingTests {
    @Test func register_fillsTheMessageAndAnswersTheTokens() async throws {
        let recorder = Recorder()
        try await withAPI(recorder) { client in
            let answer = try await client.post(
                "/v1/auth/register",
                #"{"username":"ada","password":"x\u0000y 😀","device":{"name":"laptop","platform":"linux"}}"#)
            #expect(answer.status == .ok)
            #expect(answer.headers[.contentType] == "application/json")
            let tokens = try Ringway_V1_TokenResponse(jsonString: answer.text)
            #expect(tokens.userID == 9_007_199_254_740_993)
            #expect(answer.text.contains(#""userId":"9007199254740993""#))
            #expect(answer.text.contains(#""expiresIn":600"#))
        }
        let request = try #require(recorder.last(as: Ringway_V1_RegisterRequest.self))
        #expect(request.username == "ada")
        #expect(request.password == "x\0y 😀")
        #expect(request.device.platform == "linux")
    }

    /// RFC 9110 section 6.6.1: an answer says when it was made, whatever it is.
    @Test(arguments: ["/v1/profiles/me", "/v1/nothing", "/docs"])
    func answer__has_its_date(path: String) async throws {
        let form = DateFormatter()
        (form.locale, form.timeZone) = (Locale(identifier: "en_US_POSIX"), TimeZone(identifier: "GMT"))
        form.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        try await withAPI(Recorder()) { client in
            let date = try #require(try await client.execute(uri: path, method: .get).headers[.date])
            let made = try #require(form.date(from: date))
            #expect(form.string(from: made) == date)
            #expect(abs(made.timeIntervalSinceNow) < 60)
        }
    }

    /// RFC 9110 section 9.3.2. The answer's length is told, and none of its bytes follow.
    @Test(arguments: ["/v1/profiles/me", "/v1/profiles/0", "/v1/nothing", "/docs"])
    func head__is_answered_as_get_without_the_body(path: String) async throws {
        try await withAPI(Recorder()) { client in
            let port = client.port
            func ask(_ method: String) async throws -> [String] {
                let request =
                    "\(method) \(path) HTTP/1.1\r\nHost: x\r\nX-Request-Id: r\r\nConnection: close\r\n\r\n"
                return try await exchange(port: port, send: [request], within: .seconds(10))
                    .components(separatedBy: "\r\n").filter { !$0.lowercased().hasPrefix("date:") }
            }
            let (get, head) = (try await ask("GET"), try await ask("HEAD"))
            let end = try #require(get.firstIndex(of: ""))
            #expect(get[end...].joined() != "")
            #expect(head == get[..<end] + ["", ""])
        }
    }

    @Test(arguments: [
        ("POST", "/v1/auth/login", "LogIn"),
        ("POST", "/v1/auth/refresh", "Refresh"),
        ("POST", "/v1/auth/logout", "LogOut"),
        ("GET", "/.well-known/jwks.json", "ListKeys"),
        ("GET", "/v1/profiles/me", "GetMyProfile"),
        ("PATCH", "/v1/profiles/me", "UpdateMyProfile"),
        ("GET", "/v1/profiles/12", "GetProfile"),
        ("POST", "/v1/friend-requests", "RequestFriend"),
        ("GET", "/v1/friend-requests", "ListFriendRequests"),
        ("POST", "/v1/friend-requests/5:accept", "AcceptFriendRequest"),
        ("POST", "/v1/friend-requests/5:reject", "RejectFriendRequest"),
        ("GET", "/v1/friends", "ListFriends"),
        ("DELETE", "/v1/friends/7", "RemoveFriend"),
        ("GET", "/v1/inbox", "ReadInbox"),
        ("GET", "/v1/gateway", "LocateGateway"),
    ])
    func everyRoute_reachesItsMethod(method: String, path: String, reaches: String) async throws {
        let recorder = Recorder()
        try await withAPI(recorder) { client in
            let answer = try await client.execute(uri: path, method: try #require(.init(method)))
            #expect(answer.status == .ok)
        }
        #expect(recorder.calls.map(\.method) == [reaches])
    }

    @Test func pathAndQuery_fillTheMessage() async throws {
        let recorder = Recorder()
        try await withAPI(recorder) { client in
            _ = try await client.execute(uri: "/v1/profiles/9223372036854775807", method: .get)
            #expect(recorder.last(as: Ringway_V1_GetProfileRequest.self)?.userID == .max)
            _ = try await client.execute(uri: "/v1/inbox?since=41&limit=7&more=%20", method: .get)
            let read = recorder.last(as: Ringway_V1_ReadInboxRequest.self)
            #expect(read?.since == 41 && read?.limit == 7)
            _ = try await client.execute(uri: "/v1/friends?after=3&limit=2", method: .get)
            #expect(recorder.last(as: Ringway_V1_ListFriendsRequest.self)?.after == 3)
            _ = try await client.execute(uri: "/v1/friend-requests?before=3", method: .get)
            #expect(recorder.last(as: Ringway_V1_ListFriendRequestsRequest.self)?.before == 3)
            _ = try await client.post("/v1/friend-requests/5:accept", #"{"id":"6"}"#)
            #expect(recorder.last(as: Ringway_V1_AcceptFriendRequestRequest.self)?.id == 5)
            _ = try await client.execute(
                uri: "/v1/profiles/me", method: .patch, headers: [.contentType: "application/json; charset=utf-8"],
                body: ByteBuffer(string: #"{"signature":""}"#))
            let update = recorder.last(as: Ringway_V1_UpdateMyProfileRequest.self)
            #expect(update?.hasSignature == true && update?.hasNickname == false)
        }
    }

    @Test func query_isReadAsFormsWriteIt() throws {
        let read = try Parameters.each("query=ada+love%2Blace&cursor=&n%61me=%C3%A9&more&&limit=5=6")
        #expect(read == ["query": "ada love+lace", "cursor": "", "name": "é", "more": "", "limit": "5=6"])
        for bad in ["query=%", "query=%2", "query=%zz", "query=%ff", "%ff=1", "query=%C3%28"] {
            #expect(throws: APIError.self) { try Parameters.each(bad) }
        }
    }

    @Test(arguments: ["7", "\"7\"", "7.0", "7e0"])
    func ids_areNumbersOrStrings(id: String) async throws {
        let recorder = Recorder()
        try await withAPI(recorder) { client in
            let answer = try await client.post("/v1/friend-requests", "{\"to\":\(id)}")
            #expect(answer.status == .ok)
        }
        #expect(recorder.last(as: Ringway_V1_RequestFriendRequest.self)?.to == 7)
    }

    @Test func unknownFields_areIgnored() async throws {
        let recorder = Recorder()
        try await withAPI(recorder) { client in
            let answer = try await client.post("/v1/friend-requests", #"{"to":7,"later":{"a":[1,{"b":null}]}}"#)
            #expect(answer.status == .ok)
        }
    }

    @Test func token_isCarriedOver() async throws {
        let recorder = Recorder()
        try await withAPI(recorder) { client in
            _ = try await client.execute(
                uri: "/v1/gateway", method: .get,
                headers: [.authorization: "Bearer abc", .init("X-Request-Id")!: "trace-1"])
        }
        let metadata = try #require(recorder.calls.last?.metadata)
        #expect(Array(metadata[stringValues: "authorization"]) == ["Bearer abc"])
        #expect(Array(metadata[stringValues: "x-request-id"]) == ["trace-1"])
    }

    @Test func everyAnswer_hasAnIdAndTheSecurityHeaders() async throws {
        try await withAPI(Recorder()) { client in
            for path in ["/v1/gateway", "/nothing"] {
                let answer = try await client.execute(uri: path, method: .get)
                #expect(answer.headers[.init("X-Request-Id")!]?.count == 16)
                #expect(answer.headers[.cacheControl] == "no-store")
                #expect(answer.headers[.xContentTypeOptions] == "nosniff")
            }
        }
    }

    @Test func keys_areKeptForHalfAMinuteAndTheirRefusalsAreNot() async throws {
        let keys = "/.well-known/jwks.json"
        try await withAPI(Recorder()) { client in
            for method in [HTTPRequest.Method.get, .head] {
                let answer = try await client.execute(uri: keys, method: method)
                #expect(answer.status == .ok)
                #expect(answer.headers[.cacheControl] == "public, max-age=30")
            }
        }
        try await withAPI(Recorder { throw RPCError(code: .unavailable, message: "") }) { client in
            let refused = try await client.execute(uri: keys, method: .get)
            #expect(refused.status == .serviceUnavailable)
            #expect(refused.headers[.cacheControl] == "no-store")
        }
    }

    @Test(arguments: [("abc_DEF-9", true), (String(repeating: "x", count: 65), false), ("a b", false), ("é", false)])
    func requestId_isKeptIfItIsHarmless(given: String, isKept: Bool) async throws {
        try await withAPI(Recorder()) { client in
            let name = HTTPFields.Element.Name("X-Request-Id")!
            let answer = try await client.execute(uri: "/v1/gateway", method: .get, headers: [name: given])
            #expect((answer.headers[name] == given) == isKept)
        }
    }
}
